-- A finished staging leaves nothing to do, and what it says of itself stays true.
--
-- An artifact is to do while it is pending or staging. It then belongs to the staging in its
-- staging_id, and that one is unfinished: only unfinished stagings are taken up by workers. So
--
--   a staging ends           what it leaves to do goes to another unfinished staging that asked for
--                            it; if it was cancelled, to a new one for those who joined it; else it
--                            fails, with the reason (stagings_hand_over)
--   a row is opened again    its staging must be unfinished (staged_artifacts_owned refuses)
--
-- Triggers, not statements of the service: the version before, or an operator with psql, ends
-- stagings as well. Whoever ends one has locked the unfinished stagings of its archive, in the order
-- of their ids, as for each change of an artifact (0002_events.sql).
--
-- What a staging ended with is kept in its row: which artifacts, and the errors of those that failed
-- for it. A later staging that brings them opens the rows of the artifacts again, and changes
-- nothing of that. `version`, of both tables, rises with every change but that of the time of the
-- last read: whoever has seen the versions of all rows that an answer shows knows the answer.

ALTER TABLE stagings
    ADD COLUMN artifact_ids text[],
    ADD COLUMN failures jsonb,
    ADD COLUMN joined text[],
    ADD COLUMN joined_by text;
ALTER TABLE staged_artifacts ADD COLUMN version bigint NOT NULL DEFAULT '1';

COMMENT ON COLUMN stagings.artifact_ids IS 'the artifacts that it ended with; null until then';
COMMENT ON COLUMN stagings.failures IS
    'how artifacts failed for it, by their id; null: none did';
COMMENT ON COLUMN stagings.joined IS
    'artifacts that others asked for and leave to it; null: none';
COMMENT ON COLUMN stagings.joined_by IS 'the first caller who left artifacts to it';
COMMENT ON COLUMN staged_artifacts.version IS 'rises with every change but that of last_accessed_at';

-- THE definition of what is to do, and of what is due: for workers, metrics, and all who wait.
CREATE VIEW staging_queue AS
SELECT a.id AS artifact_id, a.archive_url, a.name, a.phase, a.state, a.lock_kind,
    s.id AS staging_id, s.cancel_requested_at IS NOT NULL AS cancel_requested,
    t.due_at, t.worked_on, t.due_at <= clock_timestamp() AND NOT t.worked_on AS due
FROM staged_artifacts a
JOIN stagings s ON s.id = a.staging_id AND s.finished_at IS NULL
CROSS JOIN LATERAL (
    SELECT coalesce(a.next_attempt_at, s.created_at) AS due_at, EXISTS (
        SELECT FROM lock_scopes l
        WHERE l.kind = a.lock_kind AND l.scope = a.archive_url
          AND l.lock_id IS NOT NULL AND l.expires_at > clock_timestamp()) AS worked_on
) t
WHERE a.state IN ('pending', 'staging');
COMMENT ON VIEW staging_queue IS
    'What is to do: each artifact that is not settled, since when it is due, and whether somebody works under its lock.';
COMMENT ON COLUMN staging_queue.artifact_id IS 'what is to do';
COMMENT ON COLUMN staging_queue.archive_url IS 'of which archive';
COMMENT ON COLUMN staging_queue.name IS 'entry of the catalogue';
COMMENT ON COLUMN staging_queue.phase IS 'foreground or background';
COMMENT ON COLUMN staging_queue.state IS 'pending or staging';
COMMENT ON COLUMN staging_queue.lock_kind IS 'the lock under which it is staged';
COMMENT ON COLUMN staging_queue.staging_id IS 'the staging that brings it';
COMMENT ON COLUMN staging_queue.cancel_requested IS 'whether that staging is to stop';
COMMENT ON COLUMN staging_queue.due_at IS 'since or from when';
COMMENT ON COLUMN staging_queue.worked_on IS 'whether somebody holds its lock';
COMMENT ON COLUMN staging_queue.due IS 'whether a worker takes it up now';

-- As stagings_told, which the version before reads: with the rows that it ended with, evicted ones
-- included, beside those that there are now.
CREATE VIEW stagings_shown AS
SELECT s.id, json_build_object('staging', s, 'artifacts', (
    SELECT json_agg(a) FROM staged_artifacts a
    WHERE a.archive_url = s.archive_url AND a.name = ANY (s.requested)
      AND (a.state <> 'evicted' OR a.id = ANY (s.artifact_ids))
)) AS shown
FROM stagings s;
COMMENT ON VIEW stagings_shown IS
    'Each staging, with the artifacts that it ended with and those that there are now.';
COMMENT ON COLUMN stagings_shown.id IS 'of the staging';
COMMENT ON COLUMN stagings_shown.shown IS 'its row, and the rows of its artifacts; null: it has none';

CREATE FUNCTION stagings_show(p_ids text[]) RETURNS SETOF json
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT t.shown FROM stagings_shown t
    WHERE t.id = ANY (p_ids) ORDER BY array_position(p_ids, t.id);
END $$;

-- The newest of an archive that asked for any of these names.
CREATE FUNCTION stagings_show_newest(p_archive_url text, p_names text[]) RETURNS SETOF json
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT t.shown FROM stagings_shown t
    WHERE t.id = (
        SELECT n.id FROM stagings n
        WHERE n.archive_url = p_archive_url AND n.requested && p_names
        ORDER BY n.id DESC LIMIT 1);
END $$;

-- How an artifact failed for a staging, as stagings.failures has it.
CREATE FUNCTION staging_failure(a staged_artifacts, p_code text, p_message text, p_retryable boolean)
RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_build_object(
        'code', p_code, 'message', p_message, 'retryable', p_retryable,
        'phase', a.phase, 'bytes_done', a.bytes_done, 'bytes_total', a.bytes_total)
$$;

CREATE FUNCTION staged_artifacts_versioned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    OLD.last_accessed_at := NEW.last_accessed_at;
    IF OLD IS DISTINCT FROM NEW THEN
        NEW.version := OLD.version + 1;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER staged_artifacts_versioned BEFORE UPDATE ON staged_artifacts
FOR EACH ROW EXECUTE FUNCTION staged_artifacts_versioned();

CREATE FUNCTION staged_artifacts_owned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM stagings s WHERE s.id = NEW.staging_id AND s.finished_at IS NOT NULL) THEN
        RAISE EXCEPTION 'artifact % cannot be % for staging %, which is finished',
            NEW.id, NEW.state, NEW.staging_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'staged_artifacts_owned';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER staged_artifacts_owned BEFORE INSERT OR UPDATE OF state, staging_id ON staged_artifacts
FOR EACH ROW WHEN (NEW.state IN ('pending', 'staging')) EXECUTE FUNCTION staged_artifacts_owned();

-- Each unfinished staging that asked for an artifact keeps how it failed. Runs after
-- staged_artifacts_tell, which has locked these stagings in order.
CREATE FUNCTION staged_artifacts_verdict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE stagings s
    SET failures = coalesce(s.failures, '{}') || jsonb_build_object(NEW.id,
        staging_failure(NEW, NEW.error_code, NEW.error_message, coalesce(NEW.error_retryable, false)))
    WHERE s.archive_url = NEW.archive_url AND s.finished_at IS NULL
      AND NEW.name = ANY (s.requested);
    RETURN NULL;
END $$;
CREATE TRIGGER staged_artifacts_verdict AFTER UPDATE OF state ON staged_artifacts
FOR EACH ROW WHEN (OLD.state <> 'failed' AND NEW.state = 'failed')
EXECUTE FUNCTION staged_artifacts_verdict();

-- Keeps what a staging ends with, and raises its version.
CREATE FUNCTION stagings_kept() RETURNS trigger LANGUAGE plpgsql AS $$
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
        SELECT coalesce(array_agg(a.id ORDER BY a.id), '{}'),
            coalesce(jsonb_object_agg(a.id, staging_failure(a, v_code, v_message, true))
                FILTER (WHERE a.state IN ('pending', 'staging')), '{}')
        INTO NEW.artifact_ids, v_left
        FROM staged_artifacts a
        WHERE a.archive_url = NEW.archive_url AND a.name = ANY (NEW.requested)
          AND a.state <> 'evicted';
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
CREATE TRIGGER stagings_kept BEFORE UPDATE ON stagings
FOR EACH ROW EXECUTE FUNCTION stagings_kept();

-- A new staging for what others left to a cancelled one and is still to do; null: there is nothing.
CREATE FUNCTION staging_carry(s stagings) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
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

-- Settles what a staging that has ended leaves to do.
CREATE FUNCTION staging_hand_over(s stagings) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
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

CREATE FUNCTION stagings_hand_over() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM staging_hand_over(NEW);
    RETURN NULL;
END $$;
CREATE TRIGGER stagings_hand_over AFTER UPDATE ON stagings
FOR EACH ROW WHEN (OLD.finished_at IS NULL AND NEW.finished_at IS NOT NULL)
EXECUTE FUNCTION stagings_hand_over();
