-- Scopes whose row is locked at that moment are left for the next call.
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
COMMENT ON FUNCTION lock_expire IS
    'Writes the outcome of every lease that ran out and that no grant has superseded; returns how many.';

-- Without this, kinds of lock whose scopes come from requests would fill the table. A lock-delay is
-- at most a minute, so a scope vacated a day ago is free. If the scope is locked again, its fence
-- continues from lock_birth_fence.
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
                AND l.acquired_at >= clock_timestamp() - p_unused)
        FOR UPDATE SKIP LOCKED
    ), gone AS (
        DELETE FROM lock_scopes s USING unused u
        WHERE s.kind = u.kind AND s.scope = u.scope RETURNING 1
    )
    SELECT count(*)::integer FROM gone
$$;
COMMENT ON FUNCTION lock_forget_scopes IS
    'Deletes scopes that have no holder and had no grant for p_unused; returns how many.';
