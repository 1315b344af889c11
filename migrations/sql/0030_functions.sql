-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

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

CREATE OR REPLACE FUNCTION packed_files_checked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM added f LEFT JOIN packs p ON p.artifact_id = f.artifact_id
        WHERE p.sha256 IS NULL OR f.pack_offset + f.size_bytes > p.size_bytes
           OR f.path COLLATE "C" < p.first_path OR f.path COLLATE "C" > p.last_path)
    THEN
        RAISE EXCEPTION 'a file lies in no pack, or outside of it'
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN NULL;
END $$;

COMMENT ON FUNCTION packed_files_checked IS
    'Refuses files whose artifact has no pack, or that lie outside of its bytes or paths.';

CREATE OR REPLACE TRIGGER packed_files_checked AFTER INSERT ON packed_files
REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION packed_files_checked();

CREATE OR REPLACE FUNCTION packed_files_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the place of a file in its pack does not change'
        USING ERRCODE = 'integrity_constraint_violation';
END $$;

COMMENT ON FUNCTION packed_files_refuse IS 'Refuses every change of a row of packed_files.';

CREATE OR REPLACE TRIGGER packed_files_refuse BEFORE UPDATE ON packed_files
FOR EACH STATEMENT EXECUTE FUNCTION packed_files_refuse();

CREATE OR REPLACE FUNCTION packs_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' THEN
        IF NEW.sha256 IS NOT NULL OR (NEW.artifact_id, NEW.size_bytes, NEW.first_path, NEW.last_path)
            IS DISTINCT FROM (OLD.artifact_id, OLD.size_bytes, OLD.first_path, OLD.last_path)
        THEN
            RAISE EXCEPTION 'a pack does not change' USING ERRCODE = 'integrity_constraint_violation';
        END IF;
        RETURN NEW;
    END IF;
    IF EXISTS (
        SELECT FROM packed_files f
        WHERE f.artifact_id = OLD.artifact_id AND f.path COLLATE "C" >= OLD.first_path
          AND f.path COLLATE "C" <= OLD.last_path)
    THEN
        RAISE EXCEPTION 'the pack of % has files', OLD.artifact_id
            USING ERRCODE = 'foreign_key_violation';
    END IF;
    RETURN OLD;
END $$;

COMMENT ON FUNCTION packs_kept IS
    'Refuses to change a pack otherwise than to drop it, and to delete it before its files.';

CREATE OR REPLACE TRIGGER packs_kept BEFORE UPDATE OR DELETE ON packs
FOR EACH ROW EXECUTE FUNCTION packs_kept();

CREATE OR REPLACE VIEW staged_files AS
    SELECT artifact_id, path, sha256, size_bytes, executable, NULL::text AS pack_sha256,
        NULL::bigint AS pack_bytes, NULL::bigint AS pack_offset
    FROM loose_files
    UNION ALL
    SELECT f.artifact_id, f.path, encode(f.sha256, 'hex'), f.size_bytes::bigint, f.executable,
        (SELECT p.sha256 FROM packs p WHERE p.artifact_id = f.artifact_id),
        (SELECT p.size_bytes FROM packs p WHERE p.artifact_id = f.artifact_id), f.pack_offset
    FROM packed_files f;

COMMENT ON VIEW staged_files IS
    'The files of artifacts: served while the artifact of a file is in state ''staged''.';

COMMENT ON COLUMN staged_files.artifact_id IS 'its artifact';

COMMENT ON COLUMN staged_files.path IS 'below /static; compare it COLLATE "C", as the indexes have it';

COMMENT ON COLUMN staged_files.sha256 IS 'of the content';

COMMENT ON COLUMN staged_files.size_bytes IS 'length of the content';

COMMENT ON COLUMN staged_files.executable IS 'whether the archive marks it as executable';

COMMENT ON COLUMN staged_files.pack_sha256 IS
    'the pack that has the content; null: the content is a blob of its own';

COMMENT ON COLUMN staged_files.pack_bytes IS 'length of that pack';

COMMENT ON COLUMN staged_files.pack_offset IS 'where in that pack the content begins';

CREATE OR REPLACE FUNCTION staged_files_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO loose_files (artifact_id, path, sha256, size_bytes, executable)
        VALUES (NEW.artifact_id, NEW.path, NEW.sha256, NEW.size_bytes, coalesce(NEW.executable, false));
        RETURN NEW;
    END IF;
    IF OLD.pack_offset IS NULL THEN
        DELETE FROM loose_files WHERE artifact_id = OLD.artifact_id AND path = OLD.path;
    ELSE
        UPDATE packs SET sha256 = NULL WHERE artifact_id = OLD.artifact_id AND sha256 IS NOT NULL;
        DELETE FROM packed_files
        WHERE path COLLATE "C" = OLD.path AND artifact_id = OLD.artifact_id;
    END IF;
    RETURN OLD;
END $$;

COMMENT ON FUNCTION staged_files_change IS
    'Inserts and deletes files for the version before, to which staged_files is a table.';

CREATE OR REPLACE TRIGGER staged_files_change INSTEAD OF INSERT OR DELETE ON staged_files
FOR EACH ROW EXECUTE FUNCTION staged_files_change();
