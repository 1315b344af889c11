-- The history of grants is partitioned by month, so that old months are dropped whole: no DELETE,
-- no bloat.
--
-- A new partition needs locks that conflict with every transaction on the tables, and every later
-- statement queues behind the one that waits for such a lock: behind a session that reads for an
-- hour (pg_dump), all grants would stop. So these functions wait 0.1 s for a lock, and raise
-- lock_not_available; the caller tries again a moment later. Partitions are made three months
-- ahead, so there is time.

-- Runs with the rights of the tables' owner: otherwise the role of the pods may not change the
-- schema.
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
        -- One session at a time, and in the order in which a grant locks the tables: api_locks
        -- first, so that no grant is under way whose row goes to the default partition:
        -- PostgreSQL would refuse that row once the month has a partition.
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
COMMENT ON FUNCTION lock_history_extend IS
    'Makes the missing partitions of api_locks for this month and the next p_ahead ones.';

-- A month stays while a lock granted in it is held: the row of the grant has yet to get its
-- outcome. A month also stays while it contains a grant that is younger than its id says, made by a
-- machine whose clock was behind: the database's clock decides the age of a grant, not its id.
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
COMMENT ON FUNCTION lock_history_drop IS
    'Drops the months of api_locks that ended before p_before, and returns their names.';

-- The result is valid for a statement that is sent afterwards. A grant locks the table lock_scopes
-- before it reads the clock, and until its commit is visible; its transaction began before that.
-- PostgreSQL does not show when sessions of other roles began their transaction; 15 s ago is
-- assumed, which is longer than a grant may take.
CREATE OR REPLACE FUNCTION lock_history_whole_until() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_now timestamptz := clock_timestamp();
BEGIN
    RETURN least(v_now, (
        SELECT min(coalesce(s.xact_start, v_now - interval '15 s'))
        FROM pg_locks l LEFT JOIN pg_stat_activity s ON s.pid = l.pid
        WHERE l.locktype = 'relation' AND l.mode = 'RowExclusiveLock' AND l.granted
          AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database())
          AND l.relation = 'lock_scopes'::regclass AND l.pid <> pg_backend_pid()));
END $$;
COMMENT ON FUNCTION lock_history_whole_until IS
    'Until when the history is whole: no grant that becomes visible later was made before that time.';
