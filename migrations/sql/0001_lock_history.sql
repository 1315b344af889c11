-- The history of locks is cut by month, so that old months are dropped whole: no DELETE, no bloat.
-- A ULID begins with its time in milliseconds: ten digits of Crockford's base 32.
CREATE FUNCTION ulid_floor(p_time timestamptz) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
DECLARE
    v_left bigint := floor(extract(epoch FROM p_time) * 1000);
    v_text text := '';
BEGIN
    FOR digit IN 1..10 LOOP
        v_text := substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', (v_left & 31)::int + 1, 1) || v_text;
        v_left := v_left >> 5;
    END LOOP;
    RETURN v_text || '0000000000000000';
END $$;

-- For ids from clocks that are wrong by months, and should nobody make partitions in time.
CREATE TABLE api_locks_other PARTITION OF api_locks DEFAULT;

-- Makes the partitions of this month and the next p_ahead ones, where they are missing. With the
-- rights of the tables' owner: the role of the pods may not change the schema by anything else.
CREATE FUNCTION lock_history_extend(p_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    v_month timestamptz;
    v_name text;
    v_from text;
    v_to text;
BEGIN
    FOR v_month IN
        SELECT generate_series(
            date_trunc('month', clock_timestamp(), 'UTC'),
            clock_timestamp() + make_interval(months => p_ahead), '1 month')
    LOOP
        v_name := 'api_locks_' || to_char(v_month AT TIME ZONE 'UTC', 'YYYY_MM');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        -- One maker at a time; and no grant may come between the move of rows and the ATTACH.
        LOCK TABLE api_locks_other IN ACCESS EXCLUSIVE MODE;
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        v_from := ulid_floor(v_month);
        v_to := ulid_floor((v_month AT TIME ZONE 'UTC' + interval '1 month') AT TIME ZONE 'UTC');
        EXECUTE format('CREATE TABLE %I (LIKE api_locks INCLUDING ALL)', v_name);
        EXECUTE format(
            'WITH late AS (DELETE FROM api_locks_other WHERE id >= %L AND id < %L RETURNING *)'
            ' INSERT INTO %I SELECT * FROM late', v_from, v_to, v_name);
        EXECUTE format(
            'ALTER TABLE api_locks ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
            v_name, v_from, v_to);
    END LOOP;
END $$;

-- Drops the months that ended before p_before, and says which. A month in which a lock was granted
-- that is still held stays: its row has yet to get its outcome.
CREATE FUNCTION lock_history_drop(p_before timestamptz) RETURNS SETOF text
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '2s' AS $$
DECLARE
    v_name text;
    v_from timestamptz;
    v_to timestamptz;
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
        EXECUTE format('DROP TABLE %I', v_name);
        RETURN NEXT v_name;
    END LOOP;
    DELETE FROM api_locks_other WHERE id < ulid_floor(p_before) AND outcome IS NOT NULL;
END $$;

SELECT lock_history_extend(3);
