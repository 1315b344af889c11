-- Rules of the publisher on which clients rely. They are triggers because pods of the version
-- before publish beside those of this version, and that version does not know former contents of
-- paths, suite holds, or sources that leave a suite.

-- A path that clients could see once never gets other bytes: clients and proxies may keep the old
-- ones for ever. The row is left out, like one that conflicts. A file that is being removed still
-- counts as present: whether it was published is not looked up while the insert waits.
CREATE OR REPLACE FUNCTION publisher_path_keeps_bytes() RETURNS trigger
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF EXISTS (
        SELECT FROM package_files o
        WHERE o.archive_id = NEW.archive_id AND o.path = NEW.path AND o.removed_at IS NULL
            AND o.sha256 <> NEW.sha256)
    OR EXISTS (
        SELECT FROM package_files o
        WHERE o.archive_id = NEW.archive_id AND o.path = NEW.path AND o.removed_at IS NOT NULL
            AND o.sha256 <> NEW.sha256 AND EXISTS (
                SELECT FROM binary_releases b JOIN package_publications p
                    ON p.binary_release_id = b.id
                WHERE b.file_id = o.id AND p.published_at IS NOT NULL
                UNION ALL
                SELECT FROM source_release_files s JOIN package_publications p
                    ON p.source_release_id = s.source_release_id
                WHERE s.file_id = o.id AND p.published_at IS NOT NULL))
    THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION publisher_path_keeps_bytes IS
    'Leaves out a file whose path has other bytes, or had other bytes that were published.';

CREATE OR REPLACE TRIGGER publisher_path_keeps_bytes BEFORE INSERT ON package_files
FOR EACH ROW EXECUTE FUNCTION publisher_path_keeps_bytes();

-- A generation states for each held suite which packages it lists. A generation without this was
-- made by a pod that knows no holds, and would undo them: its transaction fails as a whole, and its
-- caller may retry, perhaps at another pod.
CREATE OR REPLACE FUNCTION publisher_generation_keeps_holds() RETURNS trigger
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_suite text;
BEGIN
    SELECT s.name INTO v_suite
    FROM suites s JOIN suite_holds h ON h.suite_id = s.id
    WHERE s.archive_id = NEW.archive_id AND NOT EXISTS (
        SELECT FROM generation_holds g
        WHERE g.generation_id = NEW.live_generation_id AND g.suite_id = s.id
            AND g.content_number = h.content_number)
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'the suite % is held: only pods that know of holds publish here', v_suite
        USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION publisher_generation_keeps_holds IS
    'Refuses a live generation that does not show the held suites as their holds say.';

-- CREATE OR REPLACE does not exist for a constraint trigger.
DROP TRIGGER IF EXISTS publisher_generation_keeps_holds ON distributions;
CREATE CONSTRAINT TRIGGER publisher_generation_keeps_holds
AFTER INSERT OR UPDATE OF live_generation_id ON distributions
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION publisher_generation_keeps_holds();

CREATE OR REPLACE FUNCTION publisher_hold_keeps_packages() RETURNS trigger
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF EXISTS (
        SELECT FROM generation_holds h JOIN dists_generations g ON g.id = h.generation_id
        WHERE h.suite_id = NEW.suite_id AND g.state IN ('live', 'retired')
            AND h.content_number >= NEW.listed_in
            AND (NEW.delisted_in IS NULL OR h.content_number < NEW.delisted_in))
    THEN
        RETURN NULL;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION publisher_hold_keeps_packages IS
    'Keeps a package in the pool while a hold makes a kept generation list it.';

CREATE OR REPLACE TRIGGER publisher_hold_keeps_packages BEFORE UPDATE OF removed_at ON package_publications
FOR EACH ROW WHEN (OLD.removed_at IS NULL AND NEW.removed_at IS NOT NULL)
EXECUTE FUNCTION publisher_hold_keeps_packages();

-- The version before may leave a source in its index after the source has left the suite. Its
-- Releases have no modified_at; by that this trigger marks their suite, and the next run of this
-- version checks all packages of the suite.
CREATE OR REPLACE FUNCTION publisher_look_again() RETURNS trigger
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE suites SET rebuild_since = clock_timestamp(), dirty_since = clock_timestamp()
    WHERE id = NEW.suite_id;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION publisher_look_again IS
    'Marks the suite of a Release for a full rebuild.';

CREATE OR REPLACE TRIGGER publisher_look_again AFTER INSERT ON release_files
FOR EACH ROW WHEN (NEW.modified_at IS NULL AND NEW.name = 'Release')
EXECUTE FUNCTION publisher_look_again();

-- The columns that foreign keys compare do not include the archives of the two rows.
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
