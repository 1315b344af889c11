-- A lease that is not in the answer is lost; an expired one never comes back to life. Guarded writes
-- do not stand in the way. A lease whose row is locked in another way at that moment is not extended,
-- and the answer says so: the leases of a process do not wait for each other.
CREATE OR REPLACE FUNCTION lock_extend(
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
COMMENT ON FUNCTION lock_extend IS
    'Extends all current leases of a process in one statement, and returns what is left of each.';

CREATE OR REPLACE FUNCTION lock_renew(
    p_kinds text[], p_scopes text[], p_ids text[], p_fences bigint[],
    p_ttls_seconds double precision[])
RETURNS TABLE (id text, expires_at timestamptz, remaining_seconds double precision)
LANGUAGE sql VOLATILE AS $$
    SELECT e.id, e.expires_at, e.remaining_seconds
    FROM lock_extend(p_kinds, p_scopes, p_ids, p_fences, p_ttls_seconds) e
$$;
COMMENT ON FUNCTION lock_renew IS
    'lock_extend for the version before, which takes a lease that was not extended for one that was.';
