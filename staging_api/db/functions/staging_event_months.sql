-- Monthly partitions as for the lock's history (lock_history.sql), with equally short waits for
-- locks.

-- Adds the index and the trigger that a partition does not inherit from its table. The unique index
-- refuses a second branch of a chain; the lock on the row of the staging keeps writers from
-- creating one.
CREATE OR REPLACE FUNCTION staging_events_partition(p_name text, p_bounds text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF staging_events %s', p_name, p_bounds);
    EXECUTE format('CREATE UNIQUE INDEX ON %I (staging_id, number)', p_name);
    EXECUTE format(
        'CREATE TRIGGER staging_events_refuse_truncate BEFORE TRUNCATE ON %I'
        ' FOR EACH STATEMENT EXECUTE FUNCTION staging_events_refuse()', p_name);
END $$;
COMMENT ON FUNCTION staging_events_partition IS 'Makes one partition of staging_events.';

-- A month that already has events in the default partition gets no partition: events are never
-- moved.
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
        -- Every writer of an event locks a row of stagings first. This lock waits for the writers that
        -- have begun and stops others there, so that no writer has one of the two tables while this
        -- session has the other: there is no deadlock.
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
COMMENT ON FUNCTION staging_events_extend IS
    'Makes the missing partitions of staging_events for this month and the next p_ahead ones.';

-- The only function that removes events. The number of dropped events is written to each staging,
-- so that its chain may begin later, but only exactly there.
CREATE OR REPLACE FUNCTION staging_events_drop(p_before timestamptz, p_reason text) RETURNS bigint
LANGUAGE plpgsql SET lock_timeout = '100ms' AS $$
DECLARE
    v_end timestamp := date_trunc('month', p_before AT TIME ZONE 'UTC');
    v_below text := ulid_floor(v_end AT TIME ZONE 'UTC');
    v_events bigint := 0;
    v_some bigint;
    v_name text;
BEGIN
    FOR v_name IN
        SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'staging_events'::regclass AND c.relname ~ '^staging_events_\d{4}_\d\d$'
          AND c.relname < 'staging_events_' || to_char(v_end, 'YYYY_MM')
        ORDER BY c.relname
    LOOP
        EXECUTE format(
            'WITH gone AS (SELECT staging_id, max(number) AS last FROM %I GROUP BY staging_id)'
            ' UPDATE stagings s SET events_dropped = greatest(s.events_dropped, gone.last)'
            ' FROM gone WHERE s.id = gone.staging_id', v_name);
        EXECUTE format('SELECT count(*) FROM %I', v_name) INTO v_some;
        v_events := v_events + v_some;
        EXECUTE format('DROP TABLE %I', v_name);
    END LOOP;
    IF v_events > 0 THEN
        INSERT INTO staging_event_drops (role, reason, below, events)
        VALUES (session_user, p_reason, v_below, v_events);
    END IF;
    RETURN v_events;
END $$;
COMMENT ON FUNCTION staging_events_drop IS
    'Drops the months of events that lie wholly before p_before; returns the number of events.';
