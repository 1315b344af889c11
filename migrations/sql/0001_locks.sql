-- The lock: lock_acquire, lock_renew, lock_release, lock_break; the guarded write, lock_guard; a
-- place in the queue, lock_wait and lock_leave; housekeeping, lock_expire and lock_forget_scopes.
-- As they began: what runs today is 0011_locks.sql, whole.
--
-- Two tables. lock_scopes has one row per scope that was locked of late and decides who holds it:
-- every change of holder is one UPDATE of that row, and the fence rises in the same UPDATE.
-- api_locks has one row per grant and is the history: it never decides anything.
--
-- lock_scopes.lock_id  expires_at      meaning
--   NULL               NULL            free: never held since, or released in good order
--   a ULID             in the future   held
--   a ULID             in the past     expired, and nobody has taken note of it yet
--   NULL               a time          vacated then by expiry or by force; free once the delay is over
--
-- Functions, not statements sent as text: the plans are kept, one call is one round trip, and both
-- work through a pooler in transaction mode. All times are clock_timestamp(): now() would be the
-- start of the transaction, so that a lease taken late in one would be born old.

-- The least fence of the present WAL timeline, which rises at each promotion of a standby: a grant
-- that an asynchronous standby never saw cannot have its fence given out again.
CREATE FUNCTION lock_timeline_fence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint << 44
$$;

CREATE FUNCTION lock_next_fence(p_fence bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT greatest(p_fence, lock_timeline_fence()) + 1
$$;

-- The fence with which the row of a scope is born. Each later grant raises it by one and uses up a
-- transaction id, so it never passes the ids: a row that was forgotten is born again above itself.
CREATE FUNCTION lock_birth_fence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT lock_timeline_fence() + pg_current_xact_id()::text::bigint
$$;

-- Ends the grant p_id, unless it has ended: each grant has exactly one outcome.
CREATE FUNCTION lock_end(
    p_id text, p_outcome text, p_ended_at timestamptz, p_ended_by text, p_reason text)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE api_locks
    SET outcome = p_outcome, ended_at = greatest(acquired_at, p_ended_at),
        ended_by = p_ended_by, reason = p_reason
    WHERE id = p_id AND outcome IS NULL;
END $$;

-- Who waits and is still there to be served.
CREATE VIEW lock_waiters_alive AS
    SELECT * FROM lock_waiters
    WHERE leaves_at > clock_timestamp() AND seen_at > clock_timestamp() - interval '6 s';

-- Gives the scope to p_id if it is still as p_seen found it. The one place where a holder changes.
CREATE FUNCTION lock_grant(
    p_seen lock_scopes, p_id text, p_caller text, p_holder text, p_reference_id text, p_ttl interval)
RETURNS lock_scopes LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz;
    v_new lock_scopes;
BEGIN
    UPDATE lock_scopes s
    SET lock_id = p_id, fence = lock_next_fence(s.fence), caller = p_caller, holder = p_holder,
        reference_id = p_reference_id, acquired_at = clock_timestamp(),
        expires_at = clock_timestamp() + p_ttl
    WHERE s.kind = p_seen.kind AND s.scope = p_seen.scope
      -- Compare and swap: a scope changed in between, renewed included, is not what was judged.
      AND s.fence = p_seen.fence
      AND s.lock_id IS NOT DISTINCT FROM p_seen.lock_id
      AND s.expires_at IS NOT DISTINCT FROM p_seen.expires_at
    RETURNING s.* INTO v_new;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    IF p_seen.lock_id IS NOT NULL THEN
        PERFORM lock_end(p_seen.lock_id, 'superseded', p_seen.expires_at, p_id, NULL);
    END IF;
    INSERT INTO api_locks (
        id, kind, scope, caller, holder, reference_id, fence, acquired_at, expires_at)
    VALUES (
        p_id, v_new.kind, v_new.scope, p_caller, p_holder, p_reference_id, v_new.fence,
        v_new.acquired_at, v_new.expires_at);
    RETURN v_new;
END $$;

-- Takes up a lease that p_seen shows as one's own: the answer to the call that took it was lost,
-- or it was handed over while one waited. Written even if nothing would change: should the earlier
-- commit have been seen before the standbys had it, then this commit waits for both.
CREATE FUNCTION lock_take_up(p_seen lock_scopes, p_ttl interval)
RETURNS lock_scopes LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_new lock_scopes;
BEGIN
    UPDATE lock_scopes s SET expires_at = greatest(s.expires_at, clock_timestamp() + p_ttl)
    WHERE s.kind = p_seen.kind AND s.scope = p_seen.scope
      AND s.lock_id = p_seen.lock_id AND s.fence = p_seen.fence
      AND s.expires_at > clock_timestamp()
    RETURNING s.* INTO v_new;
    UPDATE api_locks l SET expires_at = v_new.expires_at
    WHERE l.id = v_new.lock_id AND l.outcome IS NULL;
    RETURN v_new;
END $$;

-- Asks for a lock. `result` is
--   granted   the lock is yours: newly, or since an earlier call with the same p_id whose answer
--             was lost, or handed over by the release of whoever had it;
--   held      another has it, or it rests after an expiry (id is then null); nothing was written,
--             no row lock was asked for.
-- A p_id whose grant has ended is an error, unique_violation: no id is granted twice. Seconds, not
-- intervals: make_interval() in the caller's statement would cost more than all of a refusal.
CREATE FUNCTION lock_acquire(
    p_id text, p_kind text, p_scope text, p_caller text, p_holder text, p_reference_id text,
    p_ttl_seconds double precision, p_delay_seconds double precision,
    OUT result text, OUT id text, OUT fence bigint, OUT caller text, OUT holder text,
    OUT reference_id text, OUT acquired_at timestamptz, OUT expires_at timestamptz,
    OUT remaining_seconds double precision)
LANGUAGE plpgsql VOLATILE SET lock_timeout = '5s' SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_seen lock_scopes;
    v_new lock_scopes;
    v_first lock_waiters;
BEGIN
    LOOP
        -- Reads only, so that a refusal costs no transaction id, no WAL and no queueing.
        SELECT * INTO v_seen FROM lock_scopes s WHERE s.kind = p_kind AND s.scope = p_scope;
        IF NOT FOUND THEN
            INSERT INTO lock_scopes (kind, scope, fence)
            VALUES (p_kind, p_scope, lock_birth_fence()) ON CONFLICT DO NOTHING;
            CONTINUE;
        END IF;
        remaining_seconds := extract(epoch FROM v_seen.expires_at - clock_timestamp());
        IF v_seen.lock_id IS NOT NULL AND remaining_seconds > 0 THEN
            IF v_seen.lock_id <> p_id THEN
                v_new := v_seen;
                EXIT;
            END IF;
            v_new := lock_take_up(v_seen, p_ttl_seconds * interval '1 s');
        ELSIF remaining_seconds + p_delay_seconds > 0 THEN
            remaining_seconds := remaining_seconds + p_delay_seconds;
            v_new := v_seen;
            v_new.lock_id := NULL;
            EXIT;
        ELSE
            -- Free. It goes to whoever has waited longest, and to the caller if nobody waits.
            SELECT * INTO v_first FROM lock_waiters_alive w
            WHERE w.kind = p_kind AND w.scope = p_scope ORDER BY w.place LIMIT 1;
            IF FOUND THEN
                v_new := lock_hand_over(v_seen, v_first);
            ELSE
                v_new := lock_grant(
                    v_seen, p_id, p_caller, p_holder, p_reference_id,
                    p_ttl_seconds * interval '1 s');
            END IF;
        END IF;
        CONTINUE WHEN v_new.lock_id IS NULL;
        remaining_seconds := extract(epoch FROM v_new.expires_at - clock_timestamp());
        EXIT;
    END LOOP;
    result := CASE WHEN v_new.lock_id = p_id THEN 'granted' ELSE 'held' END;
    id := v_new.lock_id;
    fence := v_new.fence;
    caller := v_new.caller;
    holder := v_new.holder;
    reference_id := v_new.reference_id;
    acquired_at := v_new.acquired_at;
    expires_at := v_new.expires_at;
END $$;

-- Grants a free scope to the first in its queue, who learns it by the notification or, should that
-- get lost, by asking again. The lease is short until the waiter takes it up: it may have died.
CREATE FUNCTION lock_hand_over(p_seen lock_scopes, p_first lock_waiters)
RETURNS lock_scopes LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_new lock_scopes;
BEGIN
    v_new := lock_grant(
        p_seen, p_first.id, p_first.caller, p_first.holder, p_first.reference_id,
        least(p_first.ttl, interval '10 s'));
    IF v_new.lock_id IS NOT NULL THEN
        DELETE FROM lock_waiters WHERE place = p_first.place;
        PERFORM pg_notify('staging_locks', p_first.id);
    END IF;
    RETURN v_new;
END $$;

-- Takes, or keeps, a place in the queue of a scope. The row lock makes a release either come first,
-- and the acquire that follows finds the scope free, or come later and see this row. No wait for the
-- disk: a waiter whose place is lost in a crash takes a new one when it next asks.
CREATE FUNCTION lock_wait(
    p_id text, p_kind text, p_scope text, p_caller text, p_holder text, p_reference_id text,
    p_ttl_seconds double precision, p_leaves_after_seconds double precision)
RETURNS void LANGUAGE plpgsql VOLATILE SET lock_timeout = '5s' AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE lock_waiters SET seen_at = clock_timestamp() WHERE id = p_id;
    IF NOT FOUND THEN
        PERFORM 1 FROM lock_scopes WHERE kind = p_kind AND scope = p_scope FOR NO KEY UPDATE;
        -- Handed over since it last asked: then there is nothing left to wait for.
        INSERT INTO lock_waiters (
            id, kind, scope, caller, holder, reference_id, ttl, seen_at, leaves_at)
        SELECT p_id, p_kind, p_scope, p_caller, p_holder, p_reference_id,
            p_ttl_seconds * interval '1 s', clock_timestamp(),
            clock_timestamp() + p_leaves_after_seconds * interval '1 s'
        WHERE NOT EXISTS (SELECT FROM api_locks l WHERE l.id = p_id);
    END IF;
END $$;

-- Gives up a place in the queue.
CREATE FUNCTION lock_leave(p_id text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM lock_waiters WHERE id = p_id;
END $$;

-- Extends leases that are current and unexpired, all of a process in one statement, and says what
-- is left of each. A lease that is not in the answer is lost; an expired one never comes back to
-- life. One whose row is locked just now, say by its own guarded write, is not extended but told as
-- it is: the leases of a process must not wait for the slowest of its transactions.
CREATE FUNCTION lock_renew(
    p_kinds text[], p_scopes text[], p_ids text[], p_fences bigint[],
    p_ttls_seconds double precision[])
RETURNS TABLE (id text, expires_at timestamptz, remaining_seconds double precision)
LANGUAGE sql VOLATILE AS $$
    WITH mine AS (
        SELECT * FROM unnest(p_kinds, p_scopes, p_ids, p_fences, p_ttls_seconds)
            AS m (kind, scope, id, fence, ttl_seconds)
    ), current AS (
        SELECT s.lock_id, s.expires_at
        FROM mine m JOIN lock_scopes s ON s.kind = m.kind AND s.scope = m.scope
        WHERE s.lock_id = m.id AND s.fence = m.fence AND s.expires_at > clock_timestamp()
    ), free AS (
        SELECT s.kind, s.scope, m.ttl_seconds
        FROM mine m JOIN lock_scopes s ON s.kind = m.kind AND s.scope = m.scope
        WHERE s.lock_id = m.id AND s.fence = m.fence AND s.expires_at > clock_timestamp()
        FOR NO KEY UPDATE OF s SKIP LOCKED
    ), renewed AS (
        UPDATE lock_scopes s SET expires_at = clock_timestamp() + f.ttl_seconds * interval '1 s'
        FROM free f
        WHERE s.kind = f.kind AND s.scope = f.scope
        RETURNING s.lock_id, s.expires_at
    ), told AS (
        UPDATE api_locks l SET expires_at = r.expires_at
        FROM renewed r WHERE l.id = r.lock_id AND l.outcome IS NULL
    ), answer AS (
        SELECT lock_id, expires_at FROM renewed
        UNION ALL
        SELECT c.lock_id, c.expires_at FROM current c
        WHERE NOT EXISTS (SELECT FROM renewed r WHERE r.lock_id = c.lock_id)
    )
    SELECT lock_id, expires_at, extract(epoch FROM expires_at - clock_timestamp())::float8
    FROM answer
$$;

-- Ends a lease by its holder and says how it ended: `released`; or, when that had happened before
-- this call, `expired`, `broken` or `superseded`; null for a grant that never was.
CREATE FUNCTION lock_release(
    p_kind text, p_scope text, p_id text, p_fence bigint, p_ended_by text)
RETURNS text LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    v_durability text := current_setting('synchronous_commit');
    v_free lock_scopes;
    v_first lock_waiters;
BEGIN
    -- No wait for the disk: a release lost in a crash is a lock that lives to its expiry.
    PERFORM set_config('synchronous_commit', 'off', true);
    UPDATE lock_scopes s
    SET lock_id = NULL, caller = NULL, holder = NULL, reference_id = NULL, acquired_at = NULL,
        expires_at = CASE WHEN s.expires_at > clock_timestamp() THEN NULL ELSE s.expires_at END
    WHERE s.kind = p_kind AND s.scope = p_scope AND s.lock_id = p_id AND s.fence = p_fence
    RETURNING s.* INTO v_free;
    IF NOT FOUND THEN
        RETURN (SELECT coalesce(l.outcome, 'expired') FROM api_locks l WHERE l.id = p_id);
    ELSIF v_free.expires_at IS NOT NULL THEN
        PERFORM lock_end(p_id, 'expired', v_free.expires_at, p_ended_by, NULL);
        RETURN 'expired';
    END IF;
    UPDATE api_locks l
    SET outcome = 'released', ended_at = greatest(l.acquired_at, clock_timestamp()),
        ended_by = p_ended_by
    WHERE l.id = p_id AND l.outcome IS NULL;
    SELECT * INTO v_first FROM lock_waiters_alive w
    WHERE w.kind = p_kind AND w.scope = p_scope ORDER BY w.place LIMIT 1;
    IF FOUND THEN
        PERFORM set_config('synchronous_commit', v_durability, true);  -- a grant must last
        PERFORM lock_hand_over(v_free, v_first);
    END IF;
    RETURN 'released';
END $$;

-- Takes the holder out of a scope whose row lock the caller has.
CREATE FUNCTION lock_vacate(p_seen lock_scopes, p_vacated_at timestamptz, p_fence bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE lock_scopes s
    SET lock_id = NULL, caller = NULL, holder = NULL, reference_id = NULL, acquired_at = NULL,
        expires_at = p_vacated_at, fence = p_fence
    WHERE s.kind = p_seen.kind AND s.scope = p_seen.scope;
END $$;

-- Ends a lease by force, and raises the fence so that its holder's writes are refused from now on.
-- Says how the grant ended, like lock_release; null if there is no such grant.
CREATE FUNCTION lock_break(p_id text, p_ended_by text, p_reason text)
RETURNS text LANGUAGE plpgsql VOLATILE SET lock_timeout = '5s' AS $$
DECLARE
    v_grant api_locks;
    v_seen lock_scopes;
    v_first lock_waiters;
BEGIN
    IF p_reason IS NULL OR p_reason = '' THEN
        RAISE EXCEPTION 'a lock is broken for a reason' USING ERRCODE = 'not_null_violation';
    END IF;
    SELECT * INTO v_grant FROM api_locks l WHERE l.id = p_id;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    SELECT * INTO v_seen FROM lock_scopes s
    WHERE s.kind = v_grant.kind AND s.scope = v_grant.scope AND s.lock_id = p_id
    FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RETURN (SELECT coalesce(l.outcome, 'expired') FROM api_locks l WHERE l.id = p_id);
    END IF;
    IF v_seen.expires_at <= clock_timestamp() THEN
        PERFORM lock_vacate(v_seen, v_seen.expires_at, v_seen.fence);
        PERFORM lock_end(p_id, 'expired', v_seen.expires_at, p_ended_by, NULL);
        RETURN 'expired';
    END IF;
    PERFORM lock_vacate(v_seen, clock_timestamp(), lock_next_fence(v_seen.fence));
    PERFORM lock_end(p_id, 'broken', clock_timestamp(), p_ended_by, p_reason);
    SELECT * INTO v_first FROM lock_waiters_alive w
    WHERE w.kind = v_grant.kind AND w.scope = v_grant.scope ORDER BY w.place LIMIT 1;
    IF FOUND THEN
        PERFORM pg_notify('staging_locks', v_first.id);
    END IF;
    RETURN 'broken';
END $$;

-- Writes down the outcome of every lease that ran out and that nobody has taken over. Returns how
-- many. Scopes whose row is locked just now are left for the next time.
CREATE FUNCTION lock_expire(p_ended_by text) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_seen lock_scopes;
    v_count integer := 0;
BEGIN
    FOR v_seen IN
        SELECT * FROM lock_scopes s
        WHERE s.lock_id IS NOT NULL AND s.expires_at <= clock_timestamp()
        FOR NO KEY UPDATE SKIP LOCKED
    LOOP
        PERFORM lock_vacate(v_seen, v_seen.expires_at, v_seen.fence);
        PERFORM lock_end(v_seen.lock_id, 'expired', v_seen.expires_at, p_ended_by, NULL);
        v_count := v_count + 1;
    END LOOP;
    DELETE FROM lock_waiters
    WHERE leaves_at < clock_timestamp() OR seen_at < clock_timestamp() - interval '1 min';
    RETURN v_count;
END $$;

-- Forgets scopes that nobody holds and that had no grant for p_unused: kinds whose scopes are named
-- by requests would fill the table. Returns how many. A lock-delay is at most a minute, so a scope
-- vacated a day ago rests no more; the fence goes on from lock_birth_fence.
CREATE FUNCTION lock_forget_scopes(p_unused interval) RETURNS integer
LANGUAGE sql VOLATILE AS $$
    WITH unused AS (
        SELECT s.kind, s.scope FROM lock_scopes s
        WHERE s.lock_id IS NULL
          AND coalesce(s.expires_at < clock_timestamp() - interval '1 day', true)
          AND NOT EXISTS (
              SELECT FROM api_locks l
              WHERE l.scope = s.scope AND l.kind = s.kind
                AND l.id >= ulid_floor(clock_timestamp() - p_unused))
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM lock_scopes s USING unused u
        WHERE s.kind = u.kind AND s.scope = u.scope RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;

-- The guarded write: true if the lease is current and unexpired, and then, until the end of this
-- transaction, nobody can take the scope over: FOR SHARE conflicts with the UPDATE of lock_grant.
-- The holder may freeze between here and its COMMIT, or write for too long; the server then ends
-- the transaction, so that the scope is not blocked for longer than that.
CREATE FUNCTION lock_guard(p_kind text, p_scope text, p_id text, p_fence bigint)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '4s', true);
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM set_config('transaction_timeout', '15s', true);
    END IF;
    PERFORM 1 FROM lock_scopes s
    WHERE s.kind = p_kind AND s.scope = p_scope AND s.lock_id = p_id AND s.fence = p_fence
      AND s.expires_at > clock_timestamp()
    FOR SHARE;
    RETURN FOUND;
END $$;
