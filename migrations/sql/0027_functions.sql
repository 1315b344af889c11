-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

COMMENT ON VIEW blob_names IS 'The contents that files name: they are never removed.';

COMMENT ON FUNCTION document_event_text IS 'The text of an event of which its digest is made.';

COMMENT ON FUNCTION document_commits_tell IS
    'Writes the event of a commit, of its confirmation or of its undoing.';

CREATE OR REPLACE FUNCTION lock_acquire(
    p_id text, p_kind text, p_scope text, p_caller text, p_holder text, p_reference_id text,
    p_ttl_seconds double precision, p_delay_seconds double precision,
    OUT result text, OUT id text, OUT fence bigint, OUT caller text, OUT holder text,
    OUT reference_id text, OUT acquired_at timestamptz, OUT expires_at timestamptz,
    OUT remaining_seconds double precision)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '5s' SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_seen lock_scopes;
    v_new lock_scopes;
    v_next lock_waiters;
BEGIN
    LOOP
        -- Only reads: a refusal costs no transaction id, no WAL and no wait for a row lock.
        SELECT * INTO v_seen FROM lock_scopes s WHERE s.kind = p_kind AND s.scope = p_scope;
        IF NOT FOUND THEN
            INSERT INTO lock_scopes (kind, scope, fence)
            VALUES (p_kind, p_scope, lock_birth_fence()) ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;
        remaining_seconds := date_part('epoch', v_seen.expires_at - clock_timestamp());
        IF v_seen.lock_id IS NOT NULL AND remaining_seconds > 0 THEN
            IF v_seen.lock_id <> p_id THEN
                v_new := v_seen;
                EXIT;
            END IF;
            v_new := lock_take_up(v_seen, p_ttl_seconds * interval '1 s');
            CONTINUE WHEN v_new.lock_id IS NULL;
            EXIT;
        ELSIF remaining_seconds + p_delay_seconds > 0 THEN
            v_new := v_seen;
            v_new.lock_id := NULL;
            v_new.expires_at := v_seen.expires_at + p_delay_seconds * interval '1 s';
            EXIT;
        END IF;
        v_next := NULL;
        IF v_seen.waited_until > clock_timestamp() THEN
            SELECT * INTO v_next FROM lock_waiters_alive w
            WHERE w.kind = p_kind AND w.scope = p_scope ORDER BY w.place LIMIT 1;
            v_next.ttl := least(v_next.ttl, interval '10 s');
        END IF;
        IF v_next.id IS NULL THEN
            v_next.id := p_id;
            v_next.caller := p_caller;
            v_next.holder := p_holder;
            v_next.reference_id := p_reference_id;
            v_next.ttl := p_ttl_seconds * interval '1 s';
        END IF;
        IF v_seen.lock_id IS NOT NULL THEN
            IF v_seen.lock_id = p_id THEN
                RAISE unique_violation USING MESSAGE = 'lock ' || p_id || ' was granted and is over';
            END IF;
            -- Waits for renewals and other callers, but not for guarded writes: those may take seconds,
            -- in which this caller would keep a connection from others.
            PERFORM 1 FROM lock_scopes s
            WHERE s.kind = p_kind AND s.scope = p_scope FOR NO KEY UPDATE;
            CONTINUE WHEN NOT FOUND;
            PERFORM 1 FROM lock_scopes s
            WHERE s.kind = p_kind AND s.scope = p_scope FOR UPDATE SKIP LOCKED;
            IF NOT FOUND THEN
                v_new := v_seen;
                v_new.expires_at := clock_timestamp() + interval '1 s';
                EXIT;
            END IF;
        END IF;
        -- The only statement that changes the holder.
        UPDATE lock_scopes s
        SET lock_id = v_next.id, fence = lock_next_fence(s.fence), caller = v_next.caller,
            holder = v_next.holder, reference_id = v_next.reference_id,
            acquired_at = clock_timestamp(), expires_at = clock_timestamp() + v_next.ttl
        WHERE s.kind = p_kind AND s.scope = p_scope
          -- Compare and swap: refuses a scope that was changed, or renewed, since it was read.
          AND s.fence = v_seen.fence
          AND s.lock_id IS NOT DISTINCT FROM v_seen.lock_id
          AND s.expires_at IS NOT DISTINCT FROM v_seen.expires_at
        RETURNING s.* INTO v_new;
        CONTINUE WHEN NOT FOUND;
        IF v_seen.lock_id IS NOT NULL THEN
            PERFORM lock_end(v_seen.lock_id, 'superseded', v_seen.expires_at, v_new.lock_id, NULL);
        END IF;
        INSERT INTO api_locks (
            id, kind, scope, caller, holder, reference_id, fence, acquired_at, expires_at)
        VALUES (
            v_new.lock_id, v_new.kind, v_new.scope, v_new.caller, v_new.holder,
            v_new.reference_id, v_new.fence, v_new.acquired_at, v_new.expires_at);
        IF v_next.place IS NOT NULL THEN
            DELETE FROM lock_waiters w WHERE w.place = v_next.place;
            PERFORM pg_notify('staging_locks', v_next.id);
        END IF;
        EXIT;
    END LOOP;
    remaining_seconds := date_part('epoch', v_new.expires_at - clock_timestamp());
    result := CASE WHEN v_new.lock_id = p_id THEN 'granted' ELSE 'held' END;
    id := v_new.lock_id;
    fence := v_new.fence;
    caller := v_new.caller;
    holder := v_new.holder;
    reference_id := v_new.reference_id;
    acquired_at := v_new.acquired_at;
    expires_at := v_new.expires_at;
END $$;

CREATE OR REPLACE FUNCTION lock_history_extend(p_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_month timestamptz;
    v_name text;
    v_from text;
    v_to text;
BEGIN
    FOR v_month IN
        SELECT generate_series(
            date_trunc('month', clock_timestamp(), 'UTC'),
            clock_timestamp() + make_interval(months => p_ahead), '1 month')
    LOOP
        v_name := 'api_locks_' || to_char(v_month AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        -- One session at a time, and in the order in which a grant locks the tables: api_locks
        -- first, so that no grant is under way whose row goes to the default partition:
        -- PostgreSQL would refuse that row once the month has a partition.
        LOCK TABLE api_locks IN SHARE ROW EXCLUSIVE MODE;
        LOCK TABLE api_locks_other IN ACCESS EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        v_from := ulid_floor(v_month);
        v_to := ulid_floor((v_month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE %I (LIKE api_locks INCLUDING ALL)', v_name);
        EXECUTE format(
            'WITH late AS (DELETE FROM api_locks_other WHERE id >= %L AND id < %L RETURNING *)'
            ' INSERT INTO %I SELECT * FROM late', v_from, v_to, v_name);
        EXECUTE format(
            'ALTER TABLE api_locks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            v_name, v_from, v_to);
    END LOOP;
END $$;

COMMENT ON VIEW lock_waiters_alive IS
    'Waiters whose deadline is in the future and that called in the last 6 s.';

CREATE OR REPLACE FUNCTION lock_wait(
    p_id text, p_kind text, p_scope text, p_caller text, p_holder text, p_reference_id text,
    p_ttl_seconds double precision, p_leaves_after_seconds double precision)
RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '5s' AS $$
DECLARE
    v_leaves_at timestamptz := clock_timestamp() + p_leaves_after_seconds * interval '1 s';
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE lock_waiters SET seen_at = clock_timestamp() WHERE id = p_id;
    IF NOT FOUND THEN
        UPDATE lock_scopes SET waited_until = greatest(waited_until, v_leaves_at)
        WHERE kind = p_kind AND scope = p_scope;
        -- The scope was handed over since the last call: there is nothing left to wait for.
        INSERT INTO lock_waiters (
            id, kind, scope, caller, holder, reference_id, ttl, seen_at, leaves_at)
        SELECT p_id, p_kind, p_scope, p_caller, p_holder, p_reference_id,
            p_ttl_seconds * interval '1 s', clock_timestamp(), v_leaves_at
        WHERE NOT EXISTS (SELECT FROM api_locks l WHERE l.id = p_id);
    END IF;
END $$;

CREATE OR REPLACE FUNCTION lock_release(
    p_kind text, p_scope text, p_id text, p_fence bigint, p_ended_by text)
RETURNS text LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    -- The commit does not wait for the disk: if a crash loses it, the lock expires instead.
    v_durability text := current_setting('synchronous_commit');
    v_relaxed text := set_config('synchronous_commit', 'off', true);
    v_expired_at timestamptz;
    v_waited_until timestamptz;
    v_outcome text;
    v_first lock_waiters;
BEGIN
    UPDATE lock_scopes s
    SET lock_id = NULL, caller = NULL, holder = NULL, reference_id = NULL, acquired_at = NULL,
        expires_at = CASE WHEN s.expires_at > clock_timestamp() THEN NULL ELSE s.expires_at END
    WHERE s.kind = p_kind AND s.scope = p_scope AND s.lock_id = p_id AND s.fence = p_fence
    RETURNING s.expires_at, s.waited_until INTO v_expired_at, v_waited_until;
    IF NOT FOUND THEN
        RETURN (SELECT coalesce(l.outcome, 'expired') FROM api_locks l WHERE l.id = p_id);
    END IF;
    v_outcome := CASE WHEN v_expired_at IS NULL THEN 'released' ELSE 'expired' END;
    UPDATE api_locks l
    SET outcome = v_outcome, ended_by = p_ended_by,
        ended_at = greatest(l.acquired_at, coalesce(v_expired_at, clock_timestamp()))
    WHERE l.id = p_id AND l.outcome IS NULL;
    IF v_expired_at IS NULL AND v_waited_until > clock_timestamp() THEN
        SELECT * INTO v_first FROM lock_waiters_alive w
        WHERE w.kind = p_kind AND w.scope = p_scope ORDER BY w.place LIMIT 1;
        IF FOUND THEN
            PERFORM set_config('synchronous_commit', v_durability, true);  -- a grant must last
            PERFORM lock_acquire(
                v_first.id, p_kind, p_scope, v_first.caller, v_first.holder, v_first.reference_id,
                extract(epoch FROM v_first.ttl)::float8, 0);
        END IF;
    END IF;
    RETURN v_outcome;
END $$;

CREATE OR REPLACE FUNCTION staging_grant_audit() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('GRANT USAGE ON SCHEMA %I TO staging_audit', current_schema());
    EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO staging_audit', current_schema());
    EXECUTE format(
        'ALTER DEFAULT PRIVILEGES IN SCHEMA %I GRANT SELECT ON TABLES TO staging_audit',
        current_schema());
    -- It has whole responses, which are for their callers only.
    REVOKE ALL ON idempotency_keys FROM staging_audit;
END $$;

CREATE OR REPLACE FUNCTION staging_events_extend(p_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
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
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        -- Every writer of an event locks a row of stagings first. This lock waits for the writers that
        -- have begun and stops others there, so that no writer has one of the two tables while this
        -- session has the other: there is no deadlock.
        LOCK TABLE stagings IN EXCLUSIVE MODE;
        LOCK TABLE staging_events IN ACCESS EXCLUSIVE MODE;
        v_from := ulid_floor(v_month AT TIME ZONE 'UTC');
        v_to := ulid_floor((v_month + interval '1 month') AT TIME ZONE 'UTC');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL OR EXISTS (
            SELECT 1 FROM staging_events_other WHERE id >= v_from AND id < v_to);
        PERFORM staging_events_partition(
            v_name, format('FOR VALUES FROM (%L) TO (%L)', v_from, v_to));
    END LOOP;
END $$;

COMMENT ON FUNCTION staging_event_text IS 'The text of an event of which its digest is made.';

COMMENT ON FUNCTION stagings_tell IS
    'Writes the event of a staging that is new, changed its state or is to be cancelled.';

COMMENT ON VIEW staging_queue IS
    'The artifacts that are to do: when each is due, and whether its lock is held.';

COMMENT ON COLUMN staging_queue.artifact_id IS 'the artifact';

COMMENT ON COLUMN staging_queue.archive_url IS 'its archive';

COMMENT ON COLUMN staging_queue.staging_id IS 'the staging that it belongs to';

COMMENT ON COLUMN staging_queue.cancel_requested IS 'whether that staging is to be cancelled';

COMMENT ON COLUMN staging_queue.due_at IS 'when it is due';

COMMENT ON COLUMN staging_queue.worked_on IS 'whether its lock is held';

COMMENT ON FUNCTION staging_failure IS
    'The failure of an artifact for a staging, in the form of stagings.failures.';

COMMENT ON FUNCTION staged_artifacts_verdict IS
    'Writes a failure of an artifact to each unfinished staging that requested it.';

COMMENT ON FUNCTION stagings_kept IS 'Records the artifacts that a staging ends with, and raises its version.';

COMMENT ON FUNCTION staging_carry IS
    'Makes a staging for the artifacts that other callers joined a cancelled one for; null: none are to do.';

COMMENT ON FUNCTION staging_hand_over IS
    'Gives the artifacts that a finished staging leaves to do to another staging, or fails them.';

COMMENT ON FUNCTION stagings_show_newest IS
    'The newest staging of an archive that requested any of these artifacts, with its artifacts.';

CREATE OR REPLACE FUNCTION ulid_of(p_time timestamptz) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_random text := encode(uuid_send(gen_random_uuid()), 'hex');
    v_text text := left(ulid_floor(p_time), 10);
    v_bits bit(40);
BEGIN
    -- Both ends of a random UUID: digits in its middle are fixed by the UUID version.
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

COMMENT ON VIEW stagings_told IS
    'Each staging, with the artifacts that it requested, as they are now.';

COMMENT ON FUNCTION stagings_by_id IS 'The form of stagings_show that the version before calls: without evicted artifacts.';

COMMENT ON FUNCTION staging_newest IS
    'The form of stagings_show_newest that the version before calls: without evicted artifacts.';
