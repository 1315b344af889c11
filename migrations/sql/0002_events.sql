-- The record of what happened: one row in staging_events for every change of state of a staging or
-- an artifact, written by triggers in the transaction of the change itself.
--
-- The rows of one staging form a chain: each has the digest of the one before it, and the row of the
-- staging has the count and the digest of the newest. So whoever alters a row, takes one out or cuts
-- off the newest leaves a break that `staging-api audit verify` finds.
--
-- Who writes to a chain first locks the row of its staging. A change of an artifact locks the
-- unfinished stagings of its archive, in the order of their ids: the same as those which settle()
-- locks later in the same transaction, so that two transactions never wait for each other.

-- A ULID of a time: its first ten digits are the time, the others are random.
CREATE FUNCTION ulid_of(p_time timestamptz) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_random text := encode(uuid_send(gen_random_uuid()), 'hex');
    v_text text := left(ulid_floor(p_time), 10);
    v_bits bit(40);
BEGIN
    -- The ends of a random UUID: its middle has digits that are the same in all of them.
    FOREACH v_bits IN ARRAY ARRAY[
        ('x' || left(v_random, 10))::bit(40), ('x' || right(v_random, 10))::bit(40)]
    LOOP
        FOR digit IN 0..7 LOOP
            v_text := v_text || substr(
                '0123456789ABCDEFGHJKMNPQRSTVWXYZ',
                substring(v_bits FROM digit * 5 + 1 FOR 5)::bit(5)::int + 1, 1);
        END LOOP;
    END LOOP;
    RETURN v_text;
END $$;

-- What the digest of an event is of: a JSON array of its columns in order, times in UTC to the
-- microsecond, the detail as text. json.dumps(columns, ensure_ascii=False) makes the same.
CREATE FUNCTION staging_event_text(e staging_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(
        e.id, e.staging_id, e.number,
        to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        e.kind, e.artifact_id, e.name, e.from_state, e.to_state, e.actor, e.holder, e.lock_id,
        e.fence, e.code, e.message, e.detail::text, e.previous_digest)::text
$$;

CREATE FUNCTION staging_event_digest(e staging_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT encode(sha256(convert_to(staging_event_text(e), 'UTF8')), 'hex')
$$;

-- Adds an event at the end of the chain of its staging, and fills in who did it: the holder of the
-- lock on p_archive_url that this transaction was guarded with (lock_store.guard notes it), else
-- whom the transaction named (staging.actor), else the role that is logged in.
CREATE FUNCTION staging_event_append(e staging_events, p_archive_url text, p_lock_kind text)
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

CREATE FUNCTION stagings_tell() RETURNS trigger LANGUAGE plpgsql AS $$
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

CREATE FUNCTION staged_artifacts_tell() RETURNS trigger LANGUAGE plpgsql AS $$
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
            'bytes_done', NEW.bytes_done);
    ELSIF e.from_state IS NULL THEN
        e.detail := jsonb_build_object('path', NEW.path, 'phase', NEW.phase);
    END IF;
    PERFORM staging_event_append(e, NEW.archive_url, NEW.lock_kind);
    RETURN NULL;
END $$;

CREATE TRIGGER stagings_tell_new AFTER INSERT ON stagings
FOR EACH ROW EXECUTE FUNCTION stagings_tell();

CREATE TRIGGER stagings_tell AFTER UPDATE ON stagings FOR EACH ROW
WHEN (OLD.state <> NEW.state OR OLD.cancel_requested_at IS DISTINCT FROM NEW.cancel_requested_at)
EXECUTE FUNCTION stagings_tell();

CREATE TRIGGER staged_artifacts_tell_new AFTER INSERT ON staged_artifacts
FOR EACH ROW EXECUTE FUNCTION staged_artifacts_tell();

-- A new attempt, or another staging that takes an artifact up, is told even if the state stays.
CREATE TRIGGER staged_artifacts_tell AFTER UPDATE ON staged_artifacts FOR EACH ROW
WHEN (OLD.state <> NEW.state OR OLD.attempt <> NEW.attempt OR OLD.staging_id <> NEW.staging_id
    OR OLD.pinned_until IS DISTINCT FROM NEW.pinned_until)
EXECUTE FUNCTION staged_artifacts_tell();

-- Append-only: refuses everything else, on every partition.
CREATE FUNCTION staging_events_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'staging_events is append-only: % is refused', TG_OP
        USING ERRCODE = 'insufficient_privilege',
              HINT = 'old months are dropped by staging_events_drop()';
END $$;

CREATE TRIGGER staging_events_refuse BEFORE UPDATE OR DELETE ON staging_events
FOR EACH ROW EXECUTE FUNCTION staging_events_refuse();

CREATE TRIGGER staging_events_refuse_truncate BEFORE TRUNCATE ON staging_events
FOR EACH STATEMENT EXECUTE FUNCTION staging_events_refuse();

-- One partition, with what a partition does not take over from its table. The unique index stops a
-- second branch of a chain; the lock on the staging's row keeps anybody from trying.
CREATE FUNCTION staging_events_partition(p_name text, p_bounds text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF staging_events %s', p_name, p_bounds);
    EXECUTE format('CREATE UNIQUE INDEX ON %I (staging_id, number)', p_name);
    EXECUTE format(
        'CREATE TRIGGER staging_events_refuse_truncate BEFORE TRUNCATE ON %I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION staging_events_refuse()', p_name);
END $$;

-- For events of months whose partition was not made in time.
SELECT staging_events_partition('staging_events_other', 'DEFAULT');

-- Makes the partitions of this month and the next p_ahead ones, where they are missing. A month
-- that has events in the default partition already stays there: they are never moved.
CREATE FUNCTION staging_events_extend(p_ahead integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    v_month timestamp;
    v_name text;
    v_from text;
    v_to text;
BEGIN
    FOR v_month IN
        SELECT generate_series(
            date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC'),
            clock_timestamp() AT TIME ZONE 'UTC' + make_interval(months => p_ahead), '1 month')
    LOOP
        v_name := 'staging_events_' || to_char(v_month, 'YYYY_MM');
        v_from := ulid_floor(v_month AT TIME ZONE 'UTC');
        v_to := ulid_floor((v_month + interval '1 month') AT TIME ZONE 'UTC');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL OR EXISTS (
            SELECT 1 FROM staging_events_other WHERE id >= v_from AND id < v_to);
        PERFORM staging_events_partition(
            v_name, format('FOR VALUES FROM (%L) TO (%L)', v_from, v_to));
    END LOOP;
END $$;

SELECT staging_events_extend(3);

-- Drops the months that lie wholly before p_before, which are the only events that ever go. What
-- is dropped is counted on each staging, so that its chain may begin later, but only just there.
CREATE FUNCTION staging_events_drop(p_before timestamptz, p_reason text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
    v_end timestamp := date_trunc('month', p_before AT TIME ZONE 'UTC');
    v_below text := ulid_floor(v_end AT TIME ZONE 'UTC');
    v_events bigint := 0;
    v_some bigint;
    v_name text;
BEGIN
    FOR v_name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'staging_events'::regclass AND c.relname ~ '^staging_events_\d{4}_\d\d$'
          AND c.relname < 'staging_events_' || to_char(v_end, 'YYYY_MM')
        ORDER BY c.relname
    LOOP
        EXECUTE format(
            'WITH gone AS (SELECT staging_id, max(number) AS last FROM %I GROUP BY staging_id)'
            ' UPDATE stagings s SET events_dropped = greatest(s.events_dropped, gone.last)'
            ' FROM gone WHERE s.id = gone.staging_id', v_name);
        EXECUTE format('SELECT count(*) FROM %I', v_name) INTO v_some;
        v_events := v_events + v_some;
        EXECUTE format('DROP TABLE %I', v_name);
    END LOOP;
    IF v_events > 0 THEN
        INSERT INTO staging_event_drops (role, reason, below, events)
        VALUES (session_user, p_reason, v_below, v_events);
    END IF;
    RETURN v_events;
END $$;

-- What there is at this moment begins its chain with the state that it was found in.
DO $$
DECLARE
    e staging_events;
    s record;
BEGIN
    FOR s IN
        SELECT id, archive_url, 'staging' AS kind, NULL AS artifact_id, NULL AS name, state,
            'archive' AS lock_kind, NULL::jsonb AS detail
        FROM stagings
        UNION ALL
        SELECT staging_id, archive_url, 'artifact', id, name, state, lock_kind,
            jsonb_build_object('sha256', sha256, 'attempt', attempt)
        FROM staged_artifacts
        ORDER BY 1, 4 NULLS FIRST
    LOOP
        e.staging_id := s.id;
        e.kind := s.kind;
        e.artifact_id := s.artifact_id;
        e.name := s.name;
        e.to_state := s.state;
        e.message := 'as found when this record was begun';
        e.detail := s.detail;
        PERFORM staging_event_append(e, s.archive_url, s.lock_kind);
    END LOOP;
END $$;
