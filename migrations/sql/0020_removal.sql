-- While a collector removes a blob, without a transaction, nobody may name it: the bytes could go
-- after the row says that they are there. Enforced here, so that it binds the version before, too:
-- to it this is a database that is away for a moment, and it comes back.
CREATE FUNCTION blobs_spared() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.removing_until > clock_timestamp() THEN
        RAISE EXCEPTION 'the content % is being removed from the store', OLD.sha256
            USING ERRCODE = 'object_in_use';
    END IF;
    NEW.removing_until := NULL;
    NEW.removal_failures := 0;
    RETURN NEW;
END $$;

CREATE TRIGGER blobs_spared BEFORE UPDATE ON blobs FOR EACH ROW
WHEN (OLD.removing_until IS NOT NULL AND NEW.doomed_at IS NULL)
EXECUTE FUNCTION blobs_spared();

-- A file without a row is adopted with the length that it has; whole bytes may replace it.
CREATE FUNCTION blobs_resized() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO store_ledger (bytes) VALUES (NEW.size_bytes - OLD.size_bytes);
    RETURN NULL;
END $$;

CREATE TRIGGER blobs_resized AFTER UPDATE ON blobs FOR EACH ROW
WHEN (OLD.size_bytes <> NEW.size_bytes)
EXECUTE FUNCTION blobs_resized();

-- NOT VALID: what is there has passed the old condition, so that no table is read.
ALTER TABLE staged_artifacts DROP CONSTRAINT staged_artifacts_evict_reason_check;
ALTER TABLE staged_artifacts ADD CONSTRAINT staged_artifacts_evict_reason_check
    CHECK (evict_reason IN ('asked', 'space', 'lost', 'corrupt')) NOT VALID;
