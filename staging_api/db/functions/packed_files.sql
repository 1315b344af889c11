-- The checks of foreign keys and CHECKs, made once for all rows of a statement.
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

-- A pack may be dropped, and its row deleted afterwards, once the rows of its files are deleted.
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
