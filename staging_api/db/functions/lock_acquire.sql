-- The grant of a lock. The lock's other statements are in the files lock_*.sql beside this one.
--
-- Two tables. lock_scopes has one row per scope that was locked recently and decides who holds it:
-- every change of holder is one UPDATE of that row, and the fence rises in the same UPDATE.
-- api_locks has one row per grant and is the history: it never decides anything.
--
-- lock_scopes.lock_id  expires_at      meaning
--   NULL               NULL            free: never held since the row was made, or released
--   a ULID             in the future   held
--   a ULID             in the past     expired; the outcome is not written yet
--   NULL               a time          vacated then by expiry or by force; free once the delay is
--   over
--
-- PostgreSQL's row locks decide which statements may use a row at the same time:
--
--   FOR KEY SHARE      a guarded write, until its transaction ends
--   FOR NO KEY UPDATE  a renewal, a new waiter, a grant of a free scope: beside guarded writes
--   FOR UPDATE         a change of holder: after every guarded write has ended
--
-- The trigger lock_scopes_change_hands takes the lock FOR UPDATE whatever the statement, so that no
-- caller can forget it, not even one that still runs a function of an older version.
--
-- Waiters set waited_until in the row, so that other callers look for waiters only if there may be
-- some. It is never reset: once that time has passed, all waiters have left.
--
-- These are functions, not statements sent as text: their plans are kept, one call is one round
-- trip, and both work through a pooler in transaction mode. All times are clock_timestamp(): now()
-- would be the start of the transaction, so that a lease acquired late in a long one would be short
-- from the beginning. Where the row lock may have to be waited for, the row is locked before the
-- clock is read: after a wait that changed nothing in the row, PostgreSQL does not evaluate WHERE
-- or SET again.

-- The row is written even if nothing changes: the earlier commit may have become visible before the
-- standbys had it; then this commit waits for both.
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
COMMENT ON FUNCTION lock_take_up IS
    'Extends the lease that the caller has already: an earlier answer was lost, or a release gave it.';

-- `result` is
--   granted   the caller has the lock: by this call, by an earlier one with the same p_id whose
--       answer was lost, or by the release of the holder before;
--   held      another caller has the lock, or the lock-delay after an expiry is not over (then id
--   is null): nothing was written, and no row was locked. Or the lease has expired, but a guarded
--   write under it is still open: then the scope cannot be taken over, and the answer says to try
--   again in a second.
-- A waiter learns of its grant by the notification or, if that is lost, by its next call. Until
-- then its lease is short, as the waiter may have died. A p_id whose grant has ended is an error,
-- unique_violation: no id is granted twice. Arguments are in seconds, not intervals:
-- make_interval() in the caller's statement would cost more than a whole refusal.
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
COMMENT ON FUNCTION lock_acquire IS
    'Grants a free scope to its first waiter, else to the caller; refuses a held one after one read.';
