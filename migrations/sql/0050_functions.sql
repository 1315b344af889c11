-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION publisher_add_binaries(p_archive integer, p_rows jsonb)
RETURNS TABLE (place integer, id bigint, version text, path text, sha256 text)
LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off SET plan_cache_mode TO force_generic_plan AS $$
DECLARE
    v_new jsonb;
BEGIN
    SELECT jsonb_agg(e.value) INTO v_new
    FROM jsonb_array_elements(p_rows) e
    WHERE NOT EXISTS (
        SELECT FROM binary_releases r
        WHERE r.archive_id = p_archive AND r.package = e.value->>'package'
            AND r.version_key = e.value->>'version_key' AND r.architecture = e.value->>'architecture'
            AND r.installer = (e.value->>'installer')::boolean AND r.removed_at IS NULL);
    IF v_new IS NOT NULL THEN
        INSERT INTO package_files (archive_id, path, sha256, size_bytes)
        SELECT p_archive, n.path, n.sha256, n.size_bytes
        FROM jsonb_to_recordset(v_new) AS n (path text, sha256 text, size_bytes bigint)
        ORDER BY n.path
        ON CONFLICT DO NOTHING;
        INSERT INTO binary_releases (
            archive_id, package, version, version_key, architecture, installer, source,
            source_version_key, control, file_id)
        SELECT p_archive, n.package, n.version, n.version_key, n.architecture, n.installer, n.source,
            n.source_version_key, n.control, f.id
        FROM jsonb_to_recordset(v_new) AS n (
            package text, version text, version_key text, architecture text, installer boolean,
            source text, source_version_key text, control text, path text, sha256 text)
        JOIN package_files f ON f.archive_id = p_archive AND f.path = n.path
            AND f.removed_at IS NULL AND f.sha256 = n.sha256
        ORDER BY n.path
        ON CONFLICT DO NOTHING;
    END IF;
    RETURN QUERY
    SELECT n.place, r.id, r.version, f.path, f.sha256
    FROM jsonb_to_recordset(p_rows) AS n (
        place integer, package text, version_key text, architecture text, installer boolean)
    JOIN binary_releases r ON r.archive_id = p_archive AND r.package = n.package
        AND r.version_key = n.version_key AND r.architecture = n.architecture
        AND r.installer = n.installer AND r.removed_at IS NULL
    JOIN package_files f ON f.id = r.file_id
    ORDER BY r.id FOR KEY SHARE OF r;
END $$;

CREATE OR REPLACE FUNCTION publisher_files_in_the_way(p_archive integer, p_rows jsonb)
RETURNS SETOF bigint LANGUAGE plpgsql STABLE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off SET plan_cache_mode TO force_generic_plan AS $$
BEGIN
    RETURN QUERY
    WITH wanted AS (
        SELECT * FROM jsonb_to_recordset(p_rows) AS w (
            package text, version_key text, architecture text, installer boolean, path text,
            sha256 text))
    SELECT f.id FROM wanted w
    JOIN package_files f ON f.archive_id = p_archive AND f.path = w.path
        AND f.removed_at IS NULL AND f.sha256 <> w.sha256
    UNION
    SELECT f.id FROM wanted w
    JOIN binary_releases r ON r.archive_id = p_archive AND r.package = w.package
        AND r.version_key = w.version_key AND r.architecture = w.architecture
        AND r.installer = w.installer AND r.removed_at IS NULL
    JOIN package_files f ON f.id = r.file_id AND f.sha256 <> w.sha256
    UNION
    SELECT f.id FROM wanted w
    JOIN source_releases r ON r.archive_id = p_archive AND r.package = w.package
        AND r.version_key = w.version_key AND w.architecture IS NULL AND r.removed_at IS NULL
    JOIN source_release_files d ON d.source_release_id = r.id AND d.position = 0
    JOIN package_files f ON f.id = d.file_id AND f.sha256 <> w.sha256;
END $$;

CREATE OR REPLACE FUNCTION publisher_newer_versions(p_suite integer, p_rows jsonb)
RETURNS TABLE (place integer, version text) LANGUAGE plpgsql STABLE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off SET plan_cache_mode TO force_generic_plan AS $$
DECLARE
    v_archive integer := (SELECT s.archive_id FROM suites s WHERE s.id = p_suite);
BEGIN
    RETURN QUERY
    SELECT n.place, (array_agg(o.version ORDER BY o.version_key DESC))[1]
    FROM jsonb_to_recordset(p_rows) AS n (
        place integer, package text, version_key text, architecture text, installer boolean)
    CROSS JOIN LATERAL (
        SELECT a.name FROM architectures a
        WHERE a.suite_id = p_suite AND n.architecture IN (a.name, 'all')
        UNION ALL SELECT NULL WHERE n.architecture IS NULL) a (name)
    LEFT JOIN LATERAL (
        SELECT r.version, r.version_key
        FROM (
            SELECT b.version, b.version_key, b.architecture, p.component
            FROM binary_releases b JOIN package_publications p ON p.binary_release_id = b.id
            WHERE b.archive_id = v_archive AND b.package = n.package AND b.removed_at IS NULL
                AND b.version_key > n.version_key COLLATE "C"
                AND b.installer = n.installer AND b.architecture IN (a.name, 'all')
                AND p.suite_id = p_suite AND p.state IN ('pending', 'published')
            UNION ALL
            SELECT c.version, c.version_key, NULL, p.component
            FROM source_releases c JOIN package_publications p ON p.source_release_id = c.id
            WHERE a.name IS NULL
                AND c.archive_id = v_archive AND c.package = n.package AND c.removed_at IS NULL
                AND c.version_key > n.version_key COLLATE "C"
                AND p.suite_id = p_suite AND p.state IN ('pending', 'published')) r
        WHERE publisher_offers(p_suite, r.component, r.architecture)
        ORDER BY r.version_key DESC LIMIT 1) o ON true
    GROUP BY n.place HAVING bool_and(o.version IS NOT NULL);
END $$;

CREATE OR REPLACE FUNCTION publisher_add_uploads(
    p_suite integer, p_caller text, p_lifted text, p_rows jsonb)
RETURNS TABLE (
    id text, archive text, suite text, component text, name text, state text, package text, version text,
    architecture text, sha256 text, caller text, reference_id text, created_at timestamptz,
    decided_at timestamptz, decided_by text, done_at timestamptz, attempts integer, error_code text,
    error_message text, note text)
LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off SET plan_cache_mode TO force_generic_plan AS $$
DECLARE
    v_suite text;
    v_archive text;
    v_lifted text;
    v_newer jsonb;
    v_ids text[] := ARRAY(
        SELECT ulid_of(statement_timestamp()) COLLATE "C" FROM generate_series(1, jsonb_array_length(p_rows))
        ORDER BY 1);
BEGIN
    SELECT s.name, a.name INTO v_suite, v_archive
    FROM suites s JOIN apt_archives a ON a.id = s.archive_id WHERE s.id = p_suite;
    IF p_lifted IS NOT NULL AND EXISTS (SELECT FROM suite_holds h WHERE h.suite_id = p_suite) THEN
        PERFORM publisher_lift(ARRAY[p_suite], p_caller);
        IF FOUND THEN
            v_lifted := p_lifted;
        END IF;
    END IF;
    SELECT jsonb_object_agg(w.place, w.version) INTO v_newer
    FROM publisher_newer_versions(
        p_suite, jsonb_path_query_array(p_rows, '$[*] ? (@.package != null)')) w;
    RETURN QUERY
    WITH added AS (
        INSERT INTO uploads AS u (
            id, suite_id, component, name, state, source_release_id, binary_release_id, caller,
            reference_id, error_code, error_message, note)
        SELECT v_ids[n.place + 1], p_suite, n.component, n.name, n.state, n.source_release_id, n.binary_release_id,
            p_caller, n.reference_id, n.error_code, n.error_message, nullif(concat_ws(
                '; ', n.note, CASE WHEN n.package IS NOT NULL THEN v_lifted END,
                v_suite || ' has ' || (v_newer ->> n.place::text)
                    || ', which is newer: clients are offered that'), '')
        FROM jsonb_to_recordset(p_rows) AS n (
            place integer, component text, name text, state text, source_release_id bigint,
            binary_release_id bigint, reference_id text, error_code text, error_message text,
            note text, package text)
        RETURNING u.*
    )
    SELECT u.id, v_archive, v_suite, u.component, u.name, u.state, coalesce(b.package, c.package),
        coalesce(b.version, c.version), CASE WHEN b.id IS NOT NULL THEN b.architecture
            WHEN c.id IS NOT NULL THEN 'source' END, f.sha256,
        u.caller, u.reference_id, u.created_at, u.decided_at, u.decided_by, u.done_at, u.attempts,
        u.error_code, u.error_message, u.note
    FROM added u
    LEFT JOIN binary_releases b ON b.id = u.binary_release_id
    LEFT JOIN source_releases c ON c.id = u.source_release_id
    LEFT JOIN source_release_files d ON d.source_release_id = c.id AND d.position = 0
    LEFT JOIN package_files f ON f.id = coalesce(b.file_id, d.file_id)
    ORDER BY u.id;
END $$;

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
