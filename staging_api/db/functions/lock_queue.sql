CREATE OR REPLACE VIEW lock_waiters_alive AS
    SELECT * FROM lock_waiters
    WHERE leaves_at > clock_timestamp() AND seen_at > clock_timestamp() - interval '6 s';
COMMENT ON VIEW lock_waiters_alive IS
    'Waiters whose deadline is in the future and that called in the last 6 s.';

-- The lock on the scope's row orders this call and a release: either the release comes first, and
-- the following acquire finds the scope free, or the release comes later and finds this waiter. The
-- commit does not wait for the disk: a waiter whose place is lost in a crash takes a new one with
-- its next call.
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
COMMENT ON FUNCTION lock_wait IS 'Takes or keeps a place in the queue of a scope.';

CREATE OR REPLACE FUNCTION lock_leave(p_id text) RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM lock_waiters WHERE id = p_id;
END $$;
COMMENT ON FUNCTION lock_leave IS 'Gives up a place in the queue.';
