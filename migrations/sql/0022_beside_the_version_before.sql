-- What the version before does not know of: a path's past, holds of suites, and sources that leave.
-- Its pods publish beside those of this version; so the rules that clients rely on are kept here.

-- A path that clients could see once never gets other bytes: they and proxies may keep them for ever.
-- The row is left out, as one that conflicts is. A file that is being removed is still there: whether
-- that was published is not looked for while the insert waits.
CREATE FUNCTION publisher_path_keeps_bytes() RETURNS trigger
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
CREATE TRIGGER publisher_path_keeps_bytes BEFORE INSERT ON package_files
FOR EACH ROW EXECUTE FUNCTION publisher_path_keeps_bytes();

-- A generation says of each suite that is held which packages it lists. One that does not is made by
-- a pod that knows of no holds, and would undo them: its transaction fails as a whole, and the caller
-- is told to try again, perhaps by another pod.
CREATE FUNCTION publisher_generation_keeps_holds() RETURNS trigger
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
CREATE CONSTRAINT TRIGGER publisher_generation_keeps_holds
AFTER INSERT OR UPDATE OF live_generation_id ON distributions
DEFERRABLE INITIALLY DEFERRED
FOR EACH ROW EXECUTE FUNCTION publisher_generation_keeps_holds();

-- What a kept generation lists by a hold stays in the pool.
CREATE FUNCTION publisher_hold_keeps_packages() RETURNS trigger
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
CREATE TRIGGER publisher_hold_keeps_packages BEFORE UPDATE OF removed_at ON package_publications
FOR EACH ROW WHEN (OLD.removed_at IS NULL AND NEW.removed_at IS NOT NULL)
EXECUTE FUNCTION publisher_hold_keeps_packages();

-- The version before may leave a source in its index that has left the suite. Its Releases are told
-- by having no time of change: the next run of this version looks at all packages of their suite.
CREATE FUNCTION publisher_look_again() RETURNS trigger
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE suites SET rebuild_since = clock_timestamp(), dirty_since = clock_timestamp()
    WHERE id = NEW.suite_id;
    RETURN NULL;
END $$;
CREATE TRIGGER publisher_look_again AFTER INSERT ON release_files
FOR EACH ROW WHEN (NEW.modified_at IS NULL AND NEW.name = 'Release')
EXECUTE FUNCTION publisher_look_again();

-- Who finds the publisher's lock held is told of a run, whatever it is for.
ALTER TABLE publisher_runs ADD COLUMN purpose text;
ALTER TABLE publisher_runs ADD CONSTRAINT publisher_runs_purpose_check
    CHECK (purpose IN ('go-back', 'renewal')) NOT VALID;
ALTER TABLE publisher_runs VALIDATE CONSTRAINT publisher_runs_purpose_check;
COMMENT ON COLUMN publisher_runs.purpose IS 'go-back, renewal; null: its operation';
