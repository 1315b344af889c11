-- The record of a run, and what it reads of generations: statements that took longer to plan than to
-- execute. As functions, their plans are kept; a plan may have been made while the tables were almost
-- empty, so sequential scans are disabled. Call the functions that write within a guarded transaction of
-- the publisher.

-- Under the publisher's lock, any other row that is running or building belongs to a dead process. This
-- commit does not wait for the disk. Later commits of the run do, and each makes all earlier ones durable,
-- so no generation goes live without this row.
CREATE OR REPLACE FUNCTION publisher_begin(
    p_operation text, p_purpose text, p_archive integer, p_options jsonb, p_caller text, p_holder text,
    p_reference_id text, p_lock text, p_fence bigint, OUT id text, OUT dead bigint)
LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
BEGIN
    UPDATE publisher_runs r
    SET state = 'abandoned', finished_at = clock_timestamp(),
        error_message = 'its process ended, or lost the lock, in the middle'
    WHERE r.state = 'running';
    GET DIAGNOSTICS dead = ROW_COUNT;
    UPDATE dists_generations g SET state = 'abandoned' WHERE g.state = 'building';
    INSERT INTO publisher_runs AS r (
        id, operation, purpose, archive_id, options, state, caller, holder, reference_id, lock_id, fence)
    VALUES (
        ulid_of(clock_timestamp()), p_operation, p_purpose, p_archive, p_options, 'running', p_caller,
        p_holder, p_reference_id, p_lock, p_fence)
    RETURNING r.id INTO publisher_begin.id;
    PERFORM set_config('synchronous_commit', 'off', true);
END $$;
COMMENT ON FUNCTION publisher_begin IS
    'Adds a run, and abandons those of dead processes; returns its id and how many were abandoned.';

-- Each phase ends when the next one begins. The last one ends at the age after its own, if there is
-- one; otherwise it goes on. Ages are relative to a single moment, unlike clock_timestamp().
CREATE OR REPLACE FUNCTION publisher_phases(
    p_run text, p_position integer, p_phases text[], p_ages double precision[])
RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
BEGIN
    UPDATE run_phases r SET finished_at = statement_timestamp() - make_interval(secs => p_ages[1])
    WHERE r.run_id = p_run AND r.finished_at IS NULL;
    INSERT INTO run_phases (run_id, position, phase, started_at, finished_at)
    SELECT p_run, p_position + p.place - 1, p.phase,
        statement_timestamp() - make_interval(secs => p.age),
        statement_timestamp() - make_interval(secs => p_ages[p.place + 1])
    FROM unnest(p_phases, p_ages) WITH ORDINALITY AS p (phase, age, place)
    WHERE p.phase IS NOT NULL
    ON CONFLICT (run_id, position) DO NOTHING;
END $$;
COMMENT ON FUNCTION publisher_phases IS
    'Records phases of a run, from a position on, which began so many seconds ago.';

CREATE OR REPLACE FUNCTION publisher_finish(
    p_run text, p_position integer, p_phases text[], p_ages double precision[], p_state text,
    p_counts jsonb, p_notes text[], p_code text, p_message text)
RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
BEGIN
    PERFORM publisher_phases(p_run, p_position, p_phases, p_ages);
    UPDATE publisher_runs r
    SET state = p_state, finished_at = statement_timestamp(), counts = p_counts,
        phase = coalesce(p_phases[array_upper(p_phases, 1)], r.phase), items_done = 0,
        items_total = NULL, notes = p_notes, error_code = p_code, error_message = p_message
    WHERE r.id = p_run AND r.state = 'running';
END $$;
COMMENT ON FUNCTION publisher_finish IS
    'Records the outcome of a run, with those of its phases that are not written yet.';

CREATE OR REPLACE FUNCTION publisher_distribution(p_name text)
RETURNS TABLE (
    generation dists_generations, archive text, changed_at timestamptz, changed_by text, is_live boolean,
    is_head boolean, hold_rows json[], older json)
LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN QUERY
    SELECT g, a.name, d.changed_at, d.changed_by, g.id = d.live_generation_id,
        g.id = d.head_generation_id, array(
            SELECT to_json(n) FROM (
                SELECT h.*, s.name AS suite FROM suite_holds h JOIN suites s ON s.id = h.suite_id
                WHERE s.archive_id = a.id ORDER BY s.name) n), (
            SELECT json_object_agg(o.suite_id, o.content_number)
            FROM generation_holds o WHERE o.generation_id = d.live_generation_id)
    FROM apt_archives a
    JOIN distributions d ON d.archive_id = a.id
    JOIN dists_generations g ON g.id IN (d.live_generation_id, d.head_generation_id)
    WHERE a.name = p_name;
END $$;
COMMENT ON FUNCTION publisher_distribution IS
    'The live generation of an archive, and the newest one without a hold, if that is another.';

-- The newest generation without a hold is kept as well: its suites were rolled back from it.
CREATE OR REPLACE FUNCTION publisher_reapable(p_archive integer, p_retention double precision)
RETURNS SETOF text LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN QUERY
    SELECT g.id FROM dists_generations g
    WHERE g.archive_id = p_archive AND g.state = 'retired' AND g.pinned_at IS NULL
        AND NOT EXISTS (SELECT FROM distributions d WHERE d.head_generation_id = g.id)
        AND g.retired_at + make_interval(secs => p_retention) < clock_timestamp();
END $$;
COMMENT ON FUNCTION publisher_reapable IS
    'Generations that were retired longer ago than they are kept.';

-- Clients may still download files named in an old index. Kept generations are the live one, and retired
-- ones not yet reaped.
CREATE OR REPLACE FUNCTION publisher_removable(p_archive integer)
RETURNS SETOF bigint LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN QUERY
    SELECT p.id FROM package_publications p JOIN suites s ON s.id = p.suite_id
    WHERE s.archive_id = p_archive
        AND p.scheduled_deletion_at <= clock_timestamp() AND p.removed_at IS NULL
        AND p.unlisted_since IS NULL
        AND NOT EXISTS (
            SELECT FROM dists_generations g
            LEFT JOIN generation_holds h ON h.generation_id = g.id AND h.suite_id = s.id
            WHERE g.archive_id = p_archive AND g.state IN ('live', 'retired')
                AND coalesce(h.content_number, g.content_number) >= p.listed_in
                AND coalesce(h.content_number, g.content_number) < p.delisted_in);
END $$;
COMMENT ON FUNCTION publisher_removable IS
    'Packages whose quarantine is over, and which no kept generation lists.';
