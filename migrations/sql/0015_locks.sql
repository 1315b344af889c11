-- The lock: lock_acquire, lock_extend, lock_release, lock_break; the guarded write, lock_guard; a
-- place in the queue, lock_wait and lock_leave; housekeeping, lock_expire and lock_forget_scopes.
-- All that runs: it takes the place of 0011_locks.sql, so that a lease can be renewed while writes
-- are open under it.
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
-- Who may do what to a row at the same time is left to PostgreSQL's four row locks:
--
--   FOR KEY SHARE      a guarded write, until its transaction ends
--   FOR NO KEY UPDATE  a renewal, a new waiter, a grant of a free scope: beside guarded writes
--   FOR UPDATE         a change of holder: after every guarded write has ended
--
-- The trigger lock_scopes_change_hands takes the last one whatever the statement, so that no caller
-- can forget it, nor one that still runs a function of an older version.
--
-- Waiters set waited_until in the row, so that other callers look for waiters only if there may be
-- some. It is never taken back: once that time is over, all who waited until then have left.
--
-- Functions, not statements sent as text: the plans are kept, one call is one round trip, and both
-- work through a pooler in transaction mode. All times are clock_timestamp(): now() would be the
-- start of the transaction, so that a lease taken late in one would be born old. And the row is
-- locked before the clock is read wherever the lock may have to be waited for: PostgreSQL does not
-- look at a WHERE, nor at a SET, again after a wait that changed nothing in the row.

-- The least fence of the present WAL timeline, which rises at each promotion of a standby: a grant
-- that an asynchronous standby never saw cannot have its fence given out again.
CREATE OR REPLACE FUNCTION lock_timeline_fence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::bigint << 44
$$;

CREATE OR REPLACE FUNCTION lock_next_fence(p_fence bigint) RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT greatest(p_fence, lock_timeline_fence()) + 1
$$;

-- The fence with which the row of a scope is born. Each later grant raises it by one and uses up a
-- transaction id, so it never passes the ids: a row that was forgotten is born again above itself.
CREATE OR REPLACE FUNCTION lock_birth_fence() RETURNS bigint LANGUAGE sql VOLATILE AS $$
    SELECT lock_timeline_fence() + pg_current_xact_id()::text::bigint
$$;

-- Ends the grant p_id, unless it has ended: each grant has exactly one outcome.
CREATE OR REPLACE FUNCTION lock_end(
    p_id text, p_outcome text, p_ended_at timestamptz, p_ended_by text, p_reason text)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE api_locks
    SET outcome = p_outcome, ended_at = greatest(acquired_at, p_ended_at),
        ended_by = p_ended_by, reason = p_reason
    WHERE id = p_id AND outcome IS NULL;
END $$;

-- Who waits and is still there to be served.
CREATE OR REPLACE VIEW lock_waiters_alive AS
    SELECT * FROM lock_waiters
    WHERE leaves_at > clock_timestamp() AND seen_at > clock_timestamp() - interval '6 s';

-- Takes up a lease that p_seen shows as one's own: the answer to the call that took it was lost,
-- or it was handed over while one waited. Written even if nothing would change: should the earlier
-- commit have been seen before the standbys had it, then this commit waits for both.
CREATE OR REPLACE FUNCTION lock_take_up(p_seen lock_scopes, p_ttl interval)
RETURNS lock_scopes LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_new lock_scopes;
BEGIN
    PERFORM 1 FROM lock_scopes s
    WHERE s.kind = p_seen.kind AND s.scope = p_seen.scope FOR NO KEY UPDATE;
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
--   held      another has it, or it rests after an expiry (id is then null): nothing was written,
--             no row lock was asked for; or its lease is over, but a guarded write under it is still
--             open: then it cannot be taken over, and the answer says to ask again in a second.
-- A free scope goes to whoever has waited longest, and to the caller if nobody waits. A waiter learns
-- it by the notification or, should that get lost, by asking again; its lease is short until it takes
-- it up: it may have died. A p_id whose grant has ended is an error, unique_violation: no id is
-- granted twice. Seconds, not intervals: make_interval() in the caller's statement would cost more
-- than all of a refusal.
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
        -- Reads only, so that a refusal costs no transaction id, no WAL and no queueing.
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
            -- Renewals and other callers are waited for. Guarded writes are not: they may take
            -- seconds, in which the caller would keep a connection from others.
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
        -- The one statement by which a holder changes.
        UPDATE lock_scopes s
        SET lock_id = v_next.id, fence = lock_next_fence(s.fence), caller = v_next.caller,
            holder = v_next.holder, reference_id = v_next.reference_id,
            acquired_at = clock_timestamp(), expires_at = clock_timestamp() + v_next.ttl
        WHERE s.kind = p_kind AND s.scope = p_scope
          -- Compare and swap: a scope changed in between, renewed included, is not what was judged.
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

-- Takes, or keeps, a place in the queue of a scope. By the lock on the scope's row a release comes
-- first, and the acquire that follows finds the scope free, or it comes later and sees that somebody
-- waits. No wait for the disk: a waiter whose place is lost in a crash takes a new one when it next
-- asks.
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
        -- Handed over since it last asked: then there is nothing left to wait for.
        INSERT INTO lock_waiters (
            id, kind, scope, caller, holder, reference_id, ttl, seen_at, leaves_at)
        SELECT p_id, p_kind, p_scope, p_caller, p_holder, p_reference_id,
            p_ttl_seconds * interval '1 s', clock_timestamp(), v_leaves_at
        WHERE NOT EXISTS (SELECT FROM api_locks l WHERE l.id = p_id);
    END IF;
END $$;

-- Gives up a place in the queue.
CREATE OR REPLACE FUNCTION lock_leave(p_id text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM lock_waiters WHERE id = p_id;
END $$;

-- Extends leases that are current and unexpired, all of a process in one statement, and says what
-- is left of each. A lease that is not in the answer is lost; an expired one never comes back to
-- life. Guarded writes do not stand in the way. One whose row is locked in another way just then is
-- not extended, and the answer says so: the leases of a process do not wait for each other.
CREATE FUNCTION lock_extend(
    p_kinds text[], p_scopes text[], p_ids text[], p_fences bigint[],
    p_ttls_seconds double precision[])
RETURNS TABLE (
    id text, expires_at timestamptz, remaining_seconds double precision, extended boolean)
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
        SELECT lock_id, expires_at, true AS extended FROM renewed
        UNION ALL
        SELECT c.lock_id, c.expires_at, false FROM current c
        WHERE NOT EXISTS (SELECT FROM renewed r WHERE r.lock_id = c.lock_id)
    )
    SELECT lock_id, expires_at, extract(epoch FROM expires_at - clock_timestamp())::float8, extended
    FROM answer
$$;

-- What the version before calls; it takes a lease that was not extended for one that was.
CREATE OR REPLACE FUNCTION lock_renew(
    p_kinds text[], p_scopes text[], p_ids text[], p_fences bigint[],
    p_ttls_seconds double precision[])
RETURNS TABLE (id text, expires_at timestamptz, remaining_seconds double precision)
LANGUAGE sql VOLATILE AS $$
    SELECT e.id, e.expires_at, e.remaining_seconds
    FROM lock_extend(p_kinds, p_scopes, p_ids, p_fences, p_ttls_seconds) e
$$;

-- Ends a lease by its holder and says how it ended: `released`; or, when that had happened before
-- this call, `expired`, `broken` or `superseded`; null for a grant that never was. It waits for
-- guarded writes of its own that are still open, and is a release even if the lease runs out by that.
CREATE OR REPLACE FUNCTION lock_release(
    p_kind text, p_scope text, p_id text, p_fence bigint, p_ended_by text)
RETURNS text LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
DECLARE
    -- No wait for the disk: a release lost in a crash is a lock that lives to its expiry.
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

-- Takes the holder out of a scope whose row lock the caller has.
CREATE OR REPLACE FUNCTION lock_vacate(p_seen lock_scopes, p_vacated_at timestamptz, p_fence bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE lock_scopes s
    SET lock_id = NULL, caller = NULL, holder = NULL, reference_id = NULL, acquired_at = NULL,
        expires_at = p_vacated_at, fence = p_fence
    WHERE s.kind = p_seen.kind AND s.scope = p_seen.scope;
END $$;

-- Ends a lease by force, and raises the fence so that its holder's writes are refused from now on.
-- Says how the grant ended, like lock_release; null if there is no such grant.
CREATE OR REPLACE FUNCTION lock_break(p_id text, p_ended_by text, p_reason text)
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
    FOR UPDATE;
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
CREATE OR REPLACE FUNCTION lock_expire(p_ended_by text) RETURNS integer LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_seen lock_scopes;
    v_count integer := 0;
BEGIN
    FOR v_seen IN
        SELECT * FROM lock_scopes s
        WHERE s.lock_id IS NOT NULL AND s.expires_at <= clock_timestamp()
        FOR UPDATE SKIP LOCKED
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
CREATE OR REPLACE FUNCTION lock_forget_scopes(p_unused interval) RETURNS integer
LANGUAGE sql VOLATILE AS $$
    WITH unused AS (
        SELECT s.kind, s.scope FROM lock_scopes s
        WHERE s.lock_id IS NULL
          AND coalesce(s.expires_at < clock_timestamp() - interval '1 day', true)
          AND coalesce(s.waited_until < clock_timestamp(), true)
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
-- transaction, nobody can take the scope over: that needs the row FOR UPDATE. Several may be open at
-- once under one lease, and it is renewed beside them, so it outlives a write that is longer.
-- The holder may freeze between here and its COMMIT, or write for too long; the server then ends
-- the transaction, so that the scope is not blocked for longer than that.
CREATE OR REPLACE FUNCTION lock_guard(p_kind text, p_scope text, p_id text, p_fence bigint)
RETURNS boolean LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_expires_at timestamptz;
BEGIN
    PERFORM set_config('idle_in_transaction_session_timeout', '4s', true);
    IF current_setting('server_version_num')::int >= 170000 THEN
        PERFORM set_config('transaction_timeout', '15s', true);
    END IF;
    SELECT s.expires_at INTO v_expires_at FROM lock_scopes s
    WHERE s.kind = p_kind AND s.scope = p_scope AND s.lock_id = p_id AND s.fence = p_fence
    FOR KEY SHARE;
    RETURN coalesce(v_expires_at > clock_timestamp(), false);
END $$;

-- A change of holder waits for every guarded write under the lease, whatever statement makes it.
CREATE FUNCTION lock_scopes_change_hands() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM lock_scopes s WHERE s.kind = OLD.kind AND s.scope = OLD.scope FOR UPDATE;
    RETURN NEW;
END $$;

CREATE TRIGGER lock_scopes_change_hands BEFORE UPDATE ON lock_scopes FOR EACH ROW
WHEN (OLD.lock_id IS NOT NULL
    AND (OLD.lock_id IS DISTINCT FROM NEW.lock_id OR OLD.fence <> NEW.fence))
EXECUTE FUNCTION lock_scopes_change_hands();
ALTER TABLE lock_scopes ENABLE ALWAYS TRIGGER lock_scopes_change_hands;
