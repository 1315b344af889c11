-- lock_extend as a loop; see staging_api/db/functions/lock_renew.sql.
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
            UPDATE api_locks l SET expires_at = lock_extend.expires_at
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
