-- Statements of the intake of packages that take longer to plan than to execute: as functions,
-- their plans are kept. The rows are those of `publishing/placing.py`. The planner expects a hundred
-- rows in JSON and would read whole tables for them, so only nested loops are enabled; and it would plan
-- anew each time, as a plan for any values seems to cost more.

-- Existing releases of the same version stay, however the version is spelt, and in whatever
-- component. Rows are written in sorted order, so that two requests with the same packages cannot
-- deadlock. If a place is missing in the result, the path of its file has another content.
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
COMMENT ON FUNCTION publisher_add_binaries IS
    'Adds releases and their files where they are new; returns the release of each by its place.';

-- Files of the pool whose path or version is needed for other bytes.
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
COMMENT ON FUNCTION publisher_files_in_the_way IS
    'Files of the pool that have other bytes at these paths, or of these versions.';

-- A package for all architectures is offered while it is the newest on one architecture of the
-- suite. The newer releases are read from their index; most packages have none.
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
COMMENT ON FUNCTION publisher_newer_versions IS
    'What a suite offers instead of packages, of those that it would offer nowhere.';

-- A lifted suite gets a full rebuild: the index files that it shows are older than the marks of changed
-- packages.
CREATE OR REPLACE FUNCTION publisher_lift(p_suites integer[], p_caller text) RETURNS SETOF text
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN QUERY
    WITH there AS (
        SELECT h.suite_id FROM suite_holds h WHERE h.suite_id = ANY(p_suites)
        ORDER BY h.suite_id FOR UPDATE
    ), lifted AS (
        DELETE FROM suite_holds WHERE suite_id IN (SELECT suite_id FROM there) RETURNING *
    ), noted AS (
        INSERT INTO archive_decisions (archive_id, caller, decision, detail)
        SELECT s.archive_id, p_caller, 'lift', jsonb_build_object(
            'suite', s.name, 'generation', l.generation_id, 'held_by', l.held_by,
            'held_at', l.held_at, 'reason', l.reason)
        FROM lifted l JOIN suites s ON s.id = l.suite_id
    ), locked AS (
        SELECT id FROM suites WHERE id IN (SELECT suite_id FROM lifted)
        ORDER BY id FOR NO KEY UPDATE
    )
    UPDATE suites s SET rebuild_since = clock_timestamp(), dirty_since = clock_timestamp()
    FROM locked l WHERE s.id = l.id RETURNING s.name;
END $$;
COMMENT ON FUNCTION publisher_lift IS
    'Lifts the holds of suites, on behalf of a caller; returns the names of those that were held.';

-- Ids are by the database's clock, as lists begin with the newest, and in the order of the files of a request.
-- Rows that are taken name their package, and those alone are compared with what the suite has, and get a
-- note of what follows. Lifted is the hold of the suite, if there is a note that says so.
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
COMMENT ON FUNCTION publisher_add_uploads IS
    'Notes uploads with what follows of each, and lifts the hold of their suite; returns them, oldest first.';
