-- Statements of staging_api/db/functions as they were at this step.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION store_reserved_bytes() RETURNS bigint LANGUAGE sql STABLE AS $$
    SELECT (SELECT coalesce(sum(r.bytes), 0)::bigint
            FROM store_reservations r
            JOIN lock_scopes s ON s.kind = r.kind AND s.scope = r.scope
                AND s.lock_id = r.lock_id AND s.fence = r.fence
                AND s.expires_at > clock_timestamp())
        + (SELECT coalesce(sum(bytes), 0)::bigint
            FROM upload_reservations WHERE expires_at > clock_timestamp())
$$;
COMMENT ON FUNCTION store_reserved_bytes IS
    'The bytes reserved for artifacts whose lock is held now, and for uploads that still arrive.';

-- An upload holds no lock: its reservation ends by its time.
CREATE OR REPLACE FUNCTION store_reserve_upload(
    p_id text, p_bytes bigint, p_quota bigint, p_seconds double precision)
RETURNS bigint LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_lacking bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('staging_api store_reserve', 0));
    DELETE FROM upload_reservations WHERE id = p_id OR expires_at <= clock_timestamp();
    SELECT p_bytes + store_reserved_bytes() + coalesce(sum(bytes), 0) - p_quota INTO v_lacking
    FROM store_ledger;
    IF v_lacking > 0 THEN
        RETURN v_lacking;
    END IF;
    INSERT INTO upload_reservations (id, bytes, expires_at)
    VALUES (p_id, p_bytes, clock_timestamp() + make_interval(secs => p_seconds));
    RETURN 0;
END $$;
COMMENT ON FUNCTION store_reserve_upload IS
    'Reserves p_bytes for an upload for p_seconds, as store_reserve; returns the bytes that lack, or 0.';
