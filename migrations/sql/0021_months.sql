-- Months of history, made and dropped beside everything else.
--
-- A new partition needs locks that no transaction may hold beside it, and everybody who comes after
-- queues behind whoever waits for one: behind a reader of an hour (pg_dump) all grants stood still.
-- So these functions wait 0.1 s for a lock, and raise lock_not_available; the caller tries again a
-- moment later. Months are made three ahead, so there is time.

-- Makes the partitions of this month and the next p_ahead ones, where they are missing. With the
-- rights of the tables' owner: the role of the pods may not change the schema by anything else.
CREATE OR REPLACE FUNCTION lock_history_extend(p_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
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
        -- One maker at a time. In this order, which is that of a grant; and the table first, so that
        -- no grant is under way that has chosen the partition of all others for its row: PostgreSQL
        -- would refuse the row there.
        LOCK TABLE api_locks IN SHARE ROW EXCLUSIVE MODE;
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

-- The same for events; a month that has events in the default partition already stays there: they
-- are never moved.
CREATE OR REPLACE FUNCTION staging_events_extend(p_ahead integer) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp SET lock_timeout = '100ms' AS $$
DECLARE
    v_month timestamp;
    v_name text;
    v_from text;
    v_to text;
BEGIN
    FOR v_month IN
        SELECT generate_series(
            date_trunc('month', clock_timestamp() AT TIME ZONE 'UTC'),
            clock_timestamp() AT TIME ZONE 'UTC' + make_interval(months => p_ahead), '1 month')
    LOOP
        v_name := 'staging_events_' || to_char(v_month, 'YYYY_MM');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL;
        -- Whoever writes an event has a lock on stagings first, if only FOR NO KEY UPDATE of a row.
        -- This one waits for those who have begun and stops others there, and so never has one of
        -- two tables while a writer has the other and wants this one.
        LOCK TABLE stagings IN EXCLUSIVE MODE;
        LOCK TABLE staging_events IN ACCESS EXCLUSIVE MODE;
        v_from := ulid_floor(v_month AT TIME ZONE 'UTC');
        v_to := ulid_floor((v_month + interval '1 month') AT TIME ZONE 'UTC');
        CONTINUE WHEN to_regclass(v_name) IS NOT NULL OR EXISTS (
            SELECT 1 FROM staging_events_other WHERE id >= v_from AND id < v_to);
        PERFORM staging_events_partition(
            v_name, format('FOR VALUES FROM (%L) TO (%L)', v_from, v_to));
    END LOOP;
END $$;

ALTER FUNCTION lock_history_drop(timestamptz) SET lock_timeout = '100ms';
ALTER FUNCTION staging_events_drop(timestamptz, text) SET lock_timeout = '100ms';
