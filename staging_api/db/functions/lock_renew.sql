-- A loop in PL/pgSQL, not one statement of a function in SQL: while other sessions release leases,
-- PostgreSQL 18 crashes in the update of the partitioned api_locks that such a statement makes
-- beside its result.
--
-- A lease that is not in the result is lost; an expired lease is never revived. Guarded writes do
-- not block a renewal. A lease whose row another session has locked at that moment is not extended,
-- and the result says so: the leases of a process do not wait for each other.
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
COMMENT ON FUNCTION lock_extend IS
    'Extends all current leases of a process in one statement, and returns what is left of each.';
