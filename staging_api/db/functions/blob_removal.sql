-- A blob stays in the store as long as any row names it.
CREATE OR REPLACE VIEW blob_names AS
    SELECT sha256 FROM loose_files
    UNION ALL SELECT sha256 FROM packs
    UNION ALL SELECT blob FROM package_files WHERE blob IS NOT NULL;
COMMENT ON VIEW blob_names IS 'The blobs that files name: they are never removed.';
COMMENT ON COLUMN blob_names.sha256 IS 'of the blob; null: of a pack that was dropped';

CREATE OR REPLACE VIEW artifact_blobs AS
    SELECT artifact_id, sha256 FROM loose_files
    UNION ALL SELECT artifact_id, sha256 FROM packs;
COMMENT ON VIEW artifact_blobs IS 'The blobs of each artifact: one for each loose file, and its pack.';
COMMENT ON COLUMN artifact_blobs.artifact_id IS 'of the artifact';
COMMENT ON COLUMN artifact_blobs.sha256 IS 'of the blob; null: of a pack that was dropped';

-- While a collector removes a blob, outside of any transaction, no row may name it: the bytes could
-- be deleted after the row says that they are there. The database enforces this, so that it binds
-- the version before, too; that version sees the database as unavailable for a moment.
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
COMMENT ON FUNCTION blobs_spared IS 'Refuses to keep a blob whose bytes are being removed; one that is kept has no failures of removal.';

-- Also clears earlier failed removals: otherwise these failures would postpone the removal after
-- its next mark.
CREATE OR REPLACE TRIGGER blobs_spared BEFORE UPDATE ON blobs FOR EACH ROW
WHEN ((OLD.removing_until IS NOT NULL OR OLD.removal_failures > 0) AND NEW.doomed_at IS NULL)
EXECUTE FUNCTION blobs_spared();
