-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

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

CREATE OR REPLACE FUNCTION lock_history_drop(p_before timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_name text;
    v_from timestamptz;
    v_to timestamptz;
    v_younger boolean;
BEGIN
    FOR v_name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'api_locks'::regclass AND c.relname ~ '^api_locks_\d{4}_\d{2}$'
        ORDER BY c.relname
    LOOP
        v_from := to_timestamp(right(v_name, 7) || ' +00', 'YYYY_MM TZH');
        v_to := (v_from AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC';
        CONTINUE WHEN v_to > p_before OR EXISTS (
            SELECT FROM lock_scopes s
            WHERE s.lock_id >= ulid_floor(v_from) AND s.lock_id < ulid_floor(v_to));
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE acquired_at >= $1)', v_name)
            INTO v_younger USING p_before;
        CONTINUE WHEN v_younger;
        EXECUTE format('DROP TABLE %I', v_name);
        RETURN NEXT v_name;
    END LOOP;
    DELETE FROM api_locks_other WHERE acquired_at < p_before AND outcome IS NOT NULL;
END $$;
