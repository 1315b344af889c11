-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION ulid_of(p_time timestamptz) RETURNS text LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_random text := encode(uuid_send(gen_random_uuid()), 'hex');
    v_text text := '';
    -- Ids of one millisecond sort by their microseconds.
    v_micros int := coalesce(extract(microseconds FROM p_time), 0)::int % 1000;
    v_bits bit(40);
BEGIN
    -- Both ends of a random UUID: digits in its middle are fixed by the UUID version.
    FOREACH v_bits IN ARRAY ARRAY[
        ('x' || left(v_random, 10))::bit(40), ('x' || right(v_random, 10))::bit(40)]
    LOOP
        FOR digit IN 0..7 LOOP
            v_text := v_text || substr(
                '0123456789ABCDEFGHJKMNPQRSTVWXYZ',
                substring(v_bits FROM digit * 5 + 1 FOR 5)::bit(5)::int + 1, 1);
        END LOOP;
    END LOOP;
    RETURN left(ulid_floor(p_time), 10)
        || substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (v_micros >> 5) + 1, 1)
        || substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (v_micros & 31) + 1, 1)
        || right(v_text, 14);
END $$;

COMMENT ON FUNCTION ulid_of IS
    'A new ULID of a time: its first twelve digits are the time in microseconds, the others are random.';
