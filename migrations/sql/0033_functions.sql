-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ulid_floor(p_time timestamptz) RETURNS text
LANGUAGE plpgsql IMMUTABLE STRICT AS $$
DECLARE
    -- A time that no ULID can have is as the first, or the last, that one can.
    v_left bigint := floor(
        least(greatest(extract(epoch FROM p_time), 0), 281474976710.655) * 1000);
    v_text text := '';
BEGIN
    FOR digit IN 1..10 LOOP
        v_text := substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (v_left & 31)::int + 1, 1) || v_text;
        v_left := v_left >> 5;
    END LOOP;
    RETURN v_text || '0000000000000000';
END $$;

COMMENT ON FUNCTION ulid_floor IS
    'The lowest ULID of a time: ten digits of Crockford''s base 32, in milliseconds, then zeros. '
    'Before 1970 that of 1970, after the year 10889 that of its last millisecond.';
