-- The record of events: one row in staging_events for every change of state of a staging or an
-- artifact, written by triggers in the transaction of the change itself.
--
-- The rows of one staging form a chain: each has the digest of the one before it, and the row of
-- the staging has the count and the digest of the newest. A row that is altered, removed or cut off
-- at the end leaves a break that `staging-api audit verify` finds.
--
-- Each writer to a chain first locks the row of its staging. A change of an artifact locks the
-- unfinished stagings of its archive, in the order of their ids: settle() locks them in the same
-- order later in the same transaction, so that two transactions never deadlock.

-- A JSON array of the event's columns in order, times in UTC to the microsecond, the detail as
-- text. json.dumps(columns, ensure_ascii=False) returns the same text.
CREATE OR REPLACE FUNCTION staging_event_text(e staging_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(
        e.id, e.staging_id, e.number,
        to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        e.kind, e.artifact_id, e.name, e.from_state, e.to_state, e.actor, e.holder, e.lock_id,
        e.fence, e.code, e.message, e.detail::text, e.previous_digest)::text
$$;
COMMENT ON FUNCTION staging_event_text IS 'The text of an event of which its digest is made.';

CREATE OR REPLACE FUNCTION staging_event_digest(e staging_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(staging_event_text(e), 'UTF8')), 'hex')
$$;
COMMENT ON FUNCTION staging_event_digest IS 'The SHA-256 of the text of an event, in hex.';

-- The actor is the holder of the lock on p_archive_url with which this transaction was guarded (the
-- guard writes its id to staging.locks), else the one named by the transaction (staging.actor),
-- else the role that is logged in.
CREATE OR REPLACE FUNCTION staging_event_append(e staging_events, p_archive_url text, p_lock_kind text)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_locks text[] := string_to_array(current_setting('staging.locks', true), ' ');
    v_lock api_locks;
BEGIN
    SELECT l.* INTO v_lock FROM api_locks l
    WHERE l.id = ANY (v_locks) AND l.scope = p_archive_url
    ORDER BY l.kind <> p_lock_kind, l.kind LIMIT 1;
    SELECT s.events_count + 1, s.events_digest INTO e.number, e.previous_digest
    FROM stagings s WHERE s.id = e.staging_id FOR NO KEY UPDATE;
    e.at := clock_timestamp();
    e.id := ulid_of(e.at);
    e.actor := coalesce(
        v_lock.caller, nullif(current_setting('staging.actor', true), ''),
        'database role ' || session_user);
    e.holder := coalesce(v_lock.holder, nullif(current_setting('staging.holder', true), ''));
    e.lock_id := v_lock.id;
    e.fence := v_lock.fence;
    e.detail := jsonb_strip_nulls(coalesce(e.detail, '{}'));
    e.digest := staging_event_digest(e);
    INSERT INTO staging_events SELECT e.*;
    UPDATE stagings SET events_count = e.number, events_digest = e.digest WHERE id = e.staging_id;
END $$;
COMMENT ON FUNCTION staging_event_append IS
    'Adds an event at the end of the chain of its staging, and fills in its number, time, actor and digest.';

CREATE OR REPLACE FUNCTION stagings_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    e staging_events;
BEGIN
    e.staging_id := NEW.id;
    IF TG_OP = 'INSERT' OR OLD.state <> NEW.state THEN
        e.kind := 'staging';
        e.from_state := CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END;
        e.to_state := NEW.state;
        e.code := NEW.error_code;
        e.message := NEW.error_message;
        e.detail := CASE WHEN TG_OP = 'INSERT' THEN jsonb_build_object(
            'archive_url', NEW.archive_url, 'requested', NEW.requested, 'caller', NEW.caller,
            'reference_id', NEW.reference_id) END;
        PERFORM staging_event_append(e, NEW.archive_url, 'archive');
    END IF;
    IF TG_OP = 'UPDATE' AND OLD.cancel_requested_at IS NULL
            AND NEW.cancel_requested_at IS NOT NULL AND NEW.state <> 'cancelled' THEN
        e.kind := 'cancel_requested';
        e.from_state := NEW.state;
        e.to_state := NEW.state;
        e.detail := NULL;
        PERFORM staging_event_append(e, NEW.archive_url, 'archive');
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION stagings_tell IS
    'Writes the event of a staging that is new, changed its state or is to be cancelled.';

CREATE OR REPLACE TRIGGER stagings_tell_new AFTER INSERT ON stagings
FOR EACH ROW EXECUTE FUNCTION stagings_tell();

CREATE OR REPLACE TRIGGER stagings_tell AFTER UPDATE ON stagings FOR EACH ROW
WHEN (OLD.state <> NEW.state OR OLD.cancel_requested_at IS DISTINCT FROM NEW.cancel_requested_at)
EXECUTE FUNCTION stagings_tell();

CREATE OR REPLACE FUNCTION staged_artifacts_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    e staging_events;
BEGIN
    PERFORM 1 FROM stagings s
    WHERE s.archive_url = NEW.archive_url AND (s.finished_at IS NULL OR s.id = NEW.staging_id)
    ORDER BY s.id FOR NO KEY UPDATE;
    e.staging_id := NEW.staging_id;
    e.kind := 'artifact';
    e.artifact_id := NEW.id;
    e.name := NEW.name;
    e.from_state := CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END;
    e.to_state := NEW.state;
    e.code := CASE WHEN NEW.state = 'evicted' THEN NEW.evict_reason ELSE NEW.error_code END;
    e.message := NEW.error_message;
    e.detail := jsonb_build_object('attempt', NEW.attempt);
    IF e.from_state = e.to_state AND OLD.pinned_until IS DISTINCT FROM NEW.pinned_until THEN
        e.kind := 'pin';
        e.detail := jsonb_build_object('pinned_until', NEW.pinned_until);
    ELSIF NEW.state = 'staged' THEN
        e.detail := e.detail || jsonb_build_object(
            'path', NEW.path, 'sha256', NEW.sha256, 'size_bytes', NEW.size_bytes,
            'source_url', NEW.source_url, 'source_version', NEW.source_version,
            'bytes_done', NEW.bytes_done, 'held_by', NEW.held_by);
    ELSIF e.from_state IS NULL THEN
        e.detail := jsonb_build_object('path', NEW.path, 'phase', NEW.phase);
    END IF;
    PERFORM staging_event_append(e, NEW.archive_url, NEW.lock_kind);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION staged_artifacts_tell IS
    'Writes the event of an artifact that is new, changed its state, was attempted again or was pinned.';

CREATE OR REPLACE TRIGGER staged_artifacts_tell_new AFTER INSERT ON staged_artifacts
FOR EACH ROW EXECUTE FUNCTION staged_artifacts_tell();

-- A new attempt, and a new staging for an artifact, are events even if the state stays the same.
CREATE OR REPLACE TRIGGER staged_artifacts_tell AFTER UPDATE ON staged_artifacts FOR EACH ROW
WHEN (OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt OR OLD.staging_id <> NEW.staging_id
    OR OLD.pinned_until IS DISTINCT FROM NEW.pinned_until)
EXECUTE FUNCTION staged_artifacts_tell();

CREATE OR REPLACE FUNCTION staging_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'staging_events is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'old months are dropped by staging_events_drop()';
END $$;
COMMENT ON FUNCTION staging_events_refuse IS
    'Refuses every change of an event, on every partition: the table is append-only.';

CREATE OR REPLACE TRIGGER staging_events_refuse BEFORE UPDATE OR DELETE ON staging_events
FOR EACH ROW EXECUTE FUNCTION staging_events_refuse();

CREATE OR REPLACE TRIGGER staging_events_refuse_truncate BEFORE TRUNCATE ON staging_events
FOR EACH STATEMENT EXECUTE FUNCTION staging_events_refuse();

-- The result is valid for a statement that is sent afterwards. A writer of an event locks the table
-- stagings before it reads the clock, and until its commit is visible; its transaction began before
-- that. PostgreSQL does not show when sessions of other roles began their transaction; 90 s ago is
-- assumed, which is longer than a statement and a pause between two of them may take.
CREATE OR REPLACE FUNCTION staging_events_whole_until() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    RETURN least(v_now, (
        SELECT min(coalesce(s.xact_start, v_now - interval '90 s'))
        FROM pg_locks l LEFT JOIN pg_stat_activity s ON s.pid = l.pid
        WHERE l.locktype = 'relation' AND l.mode IN ('RowShareLock', 'RowExclusiveLock')
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND l.granted AND l.relation = 'stagings'::regclass AND l.pid <> pg_backend_pid()));
END $$;
COMMENT ON FUNCTION staging_events_whole_until IS
    'Until when the record is whole: no event that becomes visible later is of before that time.';
