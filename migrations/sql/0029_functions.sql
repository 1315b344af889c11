-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE VIEW lock_waiters_alive AS
    SELECT * FROM lock_waiters
    WHERE leaves_at > clock_timestamp() AND seen_at > clock_timestamp() - interval '6 s';

CREATE OR REPLACE FUNCTION lock_extend(
    p_kinds text[], p_scopes text[], p_ids text[], p_fences bigint[],
    p_ttls_seconds double precision[])
RETURNS TABLE (
    id text, expires_at timestamptz, remaining_seconds double precision, extended boolean)
LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan AS $$
#variable_conflict use_column
DECLARE
    v_mine record;
BEGIN
    FOR v_mine IN
        SELECT * FROM unnest(p_kinds, p_scopes, p_ids, p_fences, p_ttls_seconds)
            AS m (kind, scope, id, fence, ttl_seconds)
    LOOP
        SELECT s.expires_at INTO lock_extend.expires_at FROM lock_scopes s
        WHERE s.kind = v_mine.kind AND s.scope = v_mine.scope
          AND s.lock_id = v_mine.id AND s.fence = v_mine.fence
          AND s.expires_at > clock_timestamp()
        FOR NO KEY UPDATE SKIP LOCKED;
        extended := FOUND;
        IF extended THEN
            UPDATE lock_scopes s
            SET expires_at = clock_timestamp() + v_mine.ttl_seconds * interval '1 s'
            WHERE s.kind = v_mine.kind AND s.scope = v_mine.scope
            RETURNING s.expires_at INTO lock_extend.expires_at;
            UPDATE api_locks l SET expires_at = lock_extend.expires_at, renewals = l.renewals + 1
            WHERE l.id = v_mine.id AND l.outcome IS NULL;
        ELSE
            SELECT s.expires_at INTO lock_extend.expires_at FROM lock_scopes s
            WHERE s.kind = v_mine.kind AND s.scope = v_mine.scope
              AND s.lock_id = v_mine.id AND s.fence = v_mine.fence
              AND s.expires_at > clock_timestamp();
            CONTINUE WHEN NOT FOUND;
        END IF;
        id := v_mine.id;
        remaining_seconds := date_part('epoch', lock_extend.expires_at - clock_timestamp());
        RETURN NEXT;
    END LOOP;
END $$;

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
