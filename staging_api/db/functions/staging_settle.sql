-- A finished staging leaves no artifact to do, and its own result never changes.
--
-- An artifact is to do while it is pending or staging. It then belongs to the staging in its
-- staging_id, which is unfinished: workers work only on unfinished stagings. So
--
--   a staging ends           each artifact to do goes to another unfinished staging that requested
--   it;
--                            if the staging was cancelled, to a new one for the callers who joined
--                            it;
--                            else the artifact fails, with the reason (stagings_hand_over)
--   a row is opened again    its staging must be unfinished (staged_artifacts_owned refuses)
--
-- These are triggers, not statements of the service: the version before, or an operator with psql,
-- ends stagings as well. A transaction that ends a staging has locked the unfinished stagings of
-- its archive, in the order of their ids, as for each change of an artifact (staging_events.sql).
--
-- The row of a staging keeps its result: which artifacts, and the errors of those that failed for
-- it. A later staging that brings these artifacts opens their rows again, and does not change that
-- result. `version`, in both tables, rises with every change except that of the time of the last
-- read: the versions of all rows in a response identify the response.

CREATE OR REPLACE FUNCTION staging_failure(a staged_artifacts, p_code text, p_message text, p_retryable boolean)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object(
        'code', p_code, 'message', p_message, 'retryable', p_retryable,
        'phase', a.phase, 'bytes_done', a.bytes_done, 'bytes_total', a.bytes_total)
$$;
COMMENT ON FUNCTION staging_failure IS
    'The failure of an artifact for a staging, in the form of stagings.failures.';

CREATE OR REPLACE FUNCTION staged_artifacts_versioned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    OLD.last_accessed_at := NEW.last_accessed_at;
    IF OLD IS DISTINCT FROM NEW THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;
COMMENT ON FUNCTION staged_artifacts_versioned IS
    'Raises the version of an artifact with each change but that of the time of the last read.';

CREATE OR REPLACE TRIGGER staged_artifacts_versioned BEFORE UPDATE ON staged_artifacts
FOR EACH ROW EXECUTE FUNCTION staged_artifacts_versioned();

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

CREATE OR REPLACE TRIGGER staged_artifacts_owned BEFORE INSERT OR UPDATE OF state, staging_id ON staged_artifacts
FOR EACH ROW WHEN (NEW.state IN ('pending', 'staging')) EXECUTE FUNCTION staged_artifacts_owned();

-- Runs after staged_artifacts_tell, which has locked these stagings in order.
CREATE OR REPLACE FUNCTION staged_artifacts_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stagings s
    SET failures = coalesce(s.failures, '{}') || jsonb_build_object(NEW.id,
        staging_failure(NEW, NEW.error_code, NEW.error_message, coalesce(NEW.error_retryable, false)))
    WHERE s.archive_url = NEW.archive_url AND s.finished_at IS NULL
      AND NEW.name = ANY (s.requested);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION staged_artifacts_verdict IS
    'Writes a failure of an artifact to each unfinished staging that requested it.';

CREATE OR REPLACE TRIGGER staged_artifacts_verdict AFTER UPDATE OF state ON staged_artifacts
FOR EACH ROW WHEN (OLD.state <> 'failed' AND NEW.state = 'failed')
EXECUTE FUNCTION staged_artifacts_verdict();

-- Runs after the stagings are locked, as for each new row.
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
COMMENT ON FUNCTION stagings_kept IS 'Records the artifacts that a staging ends with, and raises its version.';

CREATE OR REPLACE TRIGGER stagings_kept BEFORE UPDATE ON stagings
FOR EACH ROW EXECUTE FUNCTION stagings_kept();

CREATE OR REPLACE FUNCTION staging_carry(s stagings) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_id text;
BEGIN
    IF s.state = 'cancelled' AND EXISTS (
            SELECT FROM staged_artifacts a
            WHERE a.staging_id = s.id AND a.state IN ('pending', 'staging')
              AND a.name = ANY (s.joined)) THEN
        v_id := ulid_of(clock_timestamp());
        INSERT INTO stagings (
            id, archive_url, state, requested, caller, upload_wait_seconds, failures, joined,
            joined_by)
        SELECT v_id, s.archive_url, 'queued', s.joined, s.joined_by, s.upload_wait_seconds,
            (SELECT jsonb_object_agg(a.id, s.failures -> a.id) FROM staged_artifacts a
             WHERE a.id = ANY (s.artifact_ids) AND a.name = ANY (s.joined) AND a.state = 'failed'),
            s.joined, s.joined_by;
    END IF;
    RETURN v_id;
END $$;
COMMENT ON FUNCTION staging_carry IS
    'Makes a staging for the artifacts that other callers joined a cancelled one for; null: none are to do.';

CREATE OR REPLACE FUNCTION staging_hand_over(s stagings) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    a staged_artifacts;
    v_carrier text := staging_carry(s);
    v_next text;
    v_why jsonb;
BEGIN
    FOR a IN
        SELECT * FROM staged_artifacts
        WHERE staging_id = s.id AND state IN ('pending', 'staging') ORDER BY id
    LOOP
        SELECT n.id INTO v_next FROM stagings n
        WHERE n.archive_url = s.archive_url AND n.finished_at IS NULL
          AND a.name = ANY (n.requested) AND NOT coalesce(n.failures ? a.id, false)
        ORDER BY n.cancel_requested_at IS NOT NULL, n.id IS NOT DISTINCT FROM v_carrier, n.id
        LIMIT 1;
        IF v_next IS NOT NULL THEN
            UPDATE staged_artifacts SET staging_id = v_next WHERE id = a.id;
        ELSE
            v_why := coalesce(s.failures -> a.id, jsonb_build_object(
                'code', coalesce(s.error_code, 'cancelled'),
                'message', 'not tried: its staging ended as ' || s.state));
            DELETE FROM growing_files WHERE artifact_id = a.id;
            UPDATE staged_artifacts
            SET state = 'failed', error_code = v_why ->> 'code', error_message = v_why ->> 'message',
                error_retryable = true, next_attempt_at = NULL, bytes_per_second = NULL
            WHERE id = a.id;
        END IF;
    END LOOP;
END $$;
COMMENT ON FUNCTION staging_hand_over IS
    'Gives the artifacts that a finished staging leaves to do to another staging, or fails them.';

CREATE OR REPLACE FUNCTION stagings_hand_over() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM staging_hand_over(NEW);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION stagings_hand_over IS 'Calls staging_hand_over for a staging that ends.';

CREATE OR REPLACE TRIGGER stagings_hand_over AFTER UPDATE ON stagings
FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
EXECUTE FUNCTION stagings_hand_over();
