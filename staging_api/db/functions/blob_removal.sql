-- As long as anything names a content, its bytes stay.
CREATE OR REPLACE VIEW blob_names AS
    SELECT sha256 FROM staged_files
    UNION ALL SELECT blob FROM package_files WHERE blob IS NOT NULL;
COMMENT ON VIEW blob_names IS 'The contents that files name: they are never removed.';
COMMENT ON COLUMN blob_names.sha256 IS 'of the content';

-- While a collector removes a blob, without a transaction, no row may name it: the bytes could go
-- after the row says that they are there. Enforced here, so that it binds the version before, too: for
-- that version the database is away for a moment, and comes back.
CREATE OR REPLACE FUNCTION blobs_spared() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.removing_until > clock_timestamp() THEN
        RAISE EXCEPTION 'the content % is being removed from the store', OLD.sha256
            USING ERRCODE = 'object_in_use';
    END IF;
    NEW.removing_until := NULL;
    NEW.removal_failures := 0;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION blobs_spared IS 'Refuses to keep a blob whose bytes are being removed.';

CREATE OR REPLACE TRIGGER blobs_spared BEFORE UPDATE ON blobs FOR EACH ROW
WHEN (OLD.removing_until IS NOT NULL AND NEW.doomed_at IS NULL)
EXECUTE FUNCTION blobs_spared();
