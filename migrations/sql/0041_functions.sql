-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

COMMENT ON FUNCTION blobs_spared IS 'Refuses to keep a blob whose bytes are being removed; one that is kept has no failures of removal.';

CREATE OR REPLACE TRIGGER blobs_spared BEFORE UPDATE ON blobs FOR EACH ROW
WHEN ((OLD.removing_until IS NOT NULL OR OLD.removal_failures > 0) AND NEW.doomed_at IS NULL)
EXECUTE FUNCTION blobs_spared();

CREATE OR REPLACE FUNCTION publisher_one_archive() RETURNS trigger
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_own integer;
    v_other integer;
BEGIN
    IF TG_TABLE_NAME = 'binary_releases' THEN
        v_own := NEW.archive_id;
        SELECT f.archive_id INTO v_other FROM package_files f WHERE f.id = NEW.file_id;
    ELSIF TG_TABLE_NAME = 'source_release_files' THEN
        SELECT r.archive_id INTO v_own FROM source_releases r WHERE r.id = NEW.source_release_id;
        SELECT f.archive_id INTO v_other FROM package_files f WHERE f.id = NEW.file_id;
    ELSE
        SELECT s.archive_id INTO v_own FROM suites s WHERE s.id = NEW.suite_id;
        IF TG_TABLE_NAME IN ('suite_holds', 'generation_holds') THEN
            SELECT g.archive_id INTO v_other FROM dists_generations g WHERE g.id = NEW.generation_id;
        ELSIF NEW.binary_release_id IS NOT NULL THEN
            SELECT r.archive_id INTO v_other FROM binary_releases r WHERE r.id = NEW.binary_release_id;
        ELSE
            SELECT r.archive_id INTO v_other FROM source_releases r WHERE r.id = NEW.source_release_id;
        END IF;
    END IF;
    IF v_own <> v_other THEN
        RAISE EXCEPTION '% names rows of two archives', TG_TABLE_NAME
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION publisher_one_archive IS
    'Refuses a file, package or generation of another archive than that of what it is for.';

CREATE OR REPLACE TRIGGER publisher_one_archive BEFORE INSERT OR UPDATE OF source_release_id, file_id
ON source_release_files FOR EACH ROW EXECUTE FUNCTION publisher_one_archive();

CREATE OR REPLACE TRIGGER publisher_one_archive BEFORE INSERT OR UPDATE OF archive_id, file_id
ON binary_releases FOR EACH ROW EXECUTE FUNCTION publisher_one_archive();

CREATE OR REPLACE TRIGGER publisher_one_archive BEFORE INSERT OR UPDATE OF suite_id, source_release_id, binary_release_id
ON uploads FOR EACH ROW EXECUTE FUNCTION publisher_one_archive();

CREATE OR REPLACE TRIGGER publisher_one_archive BEFORE INSERT OR UPDATE OF suite_id, source_release_id, binary_release_id
ON package_publications FOR EACH ROW EXECUTE FUNCTION publisher_one_archive();

CREATE OR REPLACE TRIGGER publisher_one_archive BEFORE INSERT OR UPDATE OF suite_id, generation_id
ON suite_holds FOR EACH ROW EXECUTE FUNCTION publisher_one_archive();

CREATE OR REPLACE TRIGGER publisher_one_archive BEFORE INSERT OR UPDATE OF suite_id, generation_id
ON generation_holds FOR EACH ROW EXECUTE FUNCTION publisher_one_archive();

CREATE OR REPLACE FUNCTION staged_artifacts_owned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
            SELECT FROM stagings s WHERE s.id = NEW.staging_id
              AND (s.finished_at IS NOT NULL OR s.archive_url <> NEW.archive_url)) THEN
        RAISE EXCEPTION 'artifact % cannot be % for staging %, which is finished or of another archive',
            NEW.id, NEW.state, NEW.staging_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'staged_artifacts_owned';
    END IF;
    RETURN NEW;
END $$;

COMMENT ON FUNCTION staged_artifacts_owned IS
    'Refuses an artifact that is to do and belongs to a staging that is finished, or of another archive.';
