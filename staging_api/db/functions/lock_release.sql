CREATE OR REPLACE FUNCTION lock_end(
    p_id text, p_outcome text, p_ended_at timestamptz, p_ended_by text, p_reason text)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE api_locks
    SET outcome = p_outcome, ended_at = greatest(acquired_at, p_ended_at),
        ended_by = p_ended_by, reason = p_reason
    WHERE id = p_id AND outcome IS NULL;
END $$;
COMMENT ON FUNCTION lock_end IS
    'Writes the outcome of a grant to the history, unless it has one: each grant has exactly one outcome.';

CREATE OR REPLACE FUNCTION lock_vacate(p_seen lock_scopes, p_vacated_at timestamptz, p_fence bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    UPDATE lock_scopes s
    SET lock_id = NULL, caller = NULL, holder = NULL, reference_id = NULL, acquired_at = NULL,
        expires_at = p_vacated_at, fence = p_fence
    WHERE s.kind = p_seen.kind AND s.scope = p_seen.scope;
END $$;
COMMENT ON FUNCTION lock_vacate IS
    'Takes the holder out of a scope whose row the caller has locked.';

-- Returns `released`; or, if the grant had ended before this call, `expired`, `broken` or
-- `superseded`; null for an unknown grant. It waits for guarded writes under the same lease that
-- are still open, and counts as a release even if the lease expires during that wait.
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
COMMENT ON FUNCTION lock_release IS
    'Ends a lease by its holder, hands the scope to the first waiter, and returns how the lease ended.';

-- Returns how the grant ended, like lock_release; null if there is no such grant.
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
COMMENT ON FUNCTION lock_break IS
    'Ends a lease by force, and raises the fence so that its holder''s writes are refused from now on.';
