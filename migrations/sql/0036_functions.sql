-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION staged_artifacts_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stagings s
    SET failures = s.failures - e.id || jsonb_build_object(NEW.id, s.failures -> e.id)
    FROM staged_artifacts e
    WHERE s.archive_url = NEW.archive_url AND s.finished_at IS NULL AND s.failures ? e.id
      AND e.archive_url = NEW.archive_url AND e.name = NEW.name AND e.path = NEW.path
      AND e.state = 'evicted';
    RETURN NULL;
END $$;

COMMENT ON FUNCTION staged_artifacts_again IS
    'Lets what failed for an unfinished staging stay so when another row follows the evicted one.';

CREATE OR REPLACE TRIGGER staged_artifacts_again AFTER INSERT ON staged_artifacts
FOR EACH ROW EXECUTE FUNCTION staged_artifacts_again();

CREATE OR REPLACE FUNCTION stagings_kept() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    v_left jsonb;
    v_code text := coalesce(NEW.error_code, 'cancelled');
    v_message text := coalesce(
        'not tried, as the staging failed: ' || NEW.error_message, 'the staging was cancelled');
BEGIN
    IF OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL THEN
        IF NEW.state = 'cancelled' THEN
            v_code := 'cancelled';
            v_message := 'the staging was cancelled';
        END IF;
        -- What was evicted and not brought again (the staging is cancelled, or it failed for it) is a
        -- part of what it ended with, too.
        WITH found AS (
            SELECT a.id, a.state, first_value(a.id) OVER (
                PARTITION BY a.name ORDER BY a.state = 'evicted', a.id DESC) AS newest
            FROM staged_artifacts a
            WHERE a.archive_url = NEW.archive_url AND a.name = ANY (NEW.requested)
        )
        SELECT coalesce(array_agg(a.id ORDER BY a.id), '{}'),
            coalesce(jsonb_object_agg(a.id, staging_failure(a, v_code, v_message, true))
                FILTER (WHERE a.state IN ('pending', 'staging')), '{}')
        INTO NEW.artifact_ids, v_left
        FROM staged_artifacts a
        JOIN found f USING (id)
        WHERE f.state <> 'evicted' OR f.id = f.newest;
        NEW.failures := nullif(v_left || coalesce(NEW.failures, '{}'), '{}');
    END IF;
    OLD.events_count := NEW.events_count;
    OLD.events_digest := NEW.events_digest;
    OLD.events_dropped := NEW.events_dropped;
    IF OLD IS DISTINCT FROM NEW AND OLD.version = NEW.version THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;
