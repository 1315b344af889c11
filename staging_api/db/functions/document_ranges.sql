-- With this check, the unique indexes on the newest revision guarantee the same for every older
-- revision.
CREATE OR REPLACE FUNCTION document_ranges_check() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_newest bigint := (SELECT max(r.number) FROM document_revisions r);
BEGIN
    IF TG_OP = 'INSERT' AND NEW.first_revision = v_newest AND NEW.until_revision IS NULL THEN
        RETURN NEW;
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.until_revision IS NULL AND NEW.until_revision = v_newest
            AND to_jsonb(NEW) - 'until_revision' = to_jsonb(OLD) - 'until_revision' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION '%: a range begins or ends in the newest revision, and only once', TG_TABLE_NAME
        USING ERRCODE = 'check_violation';
END $$;
COMMENT ON FUNCTION document_ranges_check IS
    'Lets a range begin only in the newest revision, and end there once.';

CREATE OR REPLACE TRIGGER document_places_check BEFORE INSERT OR UPDATE OR DELETE ON document_places
FOR EACH ROW EXECUTE FUNCTION document_ranges_check();

CREATE OR REPLACE TRIGGER document_collection_versions_check
BEFORE INSERT OR UPDATE OR DELETE ON document_collection_versions
FOR EACH ROW EXECUTE FUNCTION document_ranges_check();
