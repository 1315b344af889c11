-- The history of grants in the order in which they were made. The id of a waiter's grant is drawn
-- when it asks, and may be older than grants that were made meanwhile: whoever follows the history
-- by id misses it.

CREATE INDEX api_locks_acquired_at_id_idx ON api_locks (acquired_at, id);

-- Until when the history is whole: no grant that becomes visible later was made before. For a
-- statement that is sent afterwards.
--
-- Whoever makes a grant has a lock on the table lock_scopes before it looks at the clock, and until
-- its commit is visible; its transaction began before it looked. Of sessions of other roles the
-- beginning is not shown; they are taken to have begun 15 s ago, longer than a grant may take.
CREATE FUNCTION lock_history_whole_until() RETURNS timestamptz LANGUAGE plpgsql VOLATILE AS $$
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
