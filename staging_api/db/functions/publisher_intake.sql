-- Statements of the intake of packages that take longer to plan than to execute: as functions,
-- their plans are kept. The rows are those of `publishing/placing.py`.

-- Existing releases of the same version stay, however the version is spelt, and in whatever
-- component. Rows are written in sorted order, so that two requests with the same packages cannot
-- deadlock. If a place is missing in the result, the path of its file has another content.
CREATE OR REPLACE FUNCTION publisher_add_binaries(p_archive integer, p_rows jsonb)
RETURNS TABLE (place integer, id bigint, version text, path text, sha256 text)
LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
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
RETURNS SETOF bigint LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
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
-- suite.
CREATE OR REPLACE FUNCTION publisher_newer_versions(p_suite integer, p_rows jsonb)
RETURNS TABLE (place integer, version text) LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
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
        SELECT coalesce(b.version, c.version) AS version,
            coalesce(b.version_key, c.version_key) AS version_key
        FROM package_publications p
        LEFT JOIN binary_releases b ON b.id = p.binary_release_id
        LEFT JOIN source_releases c ON c.id = p.source_release_id
        WHERE p.suite_id = p_suite AND p.package = n.package AND p.state IN ('pending', 'published')
            AND CASE WHEN a.name IS NULL THEN c.id IS NOT NULL
                ELSE b.installer = n.installer AND b.architecture IN (a.name, 'all') END
            AND coalesce(b.version_key, c.version_key) > n.version_key COLLATE "C"
            AND publisher_offers(p.suite_id, p.component, b.architecture)
        ORDER BY coalesce(b.version_key, c.version_key) DESC LIMIT 1) o ON true
    GROUP BY n.place HAVING bool_and(o.version IS NOT NULL);
END $$;
COMMENT ON FUNCTION publisher_newer_versions IS
    'What a suite offers instead of packages, of those that it would offer nowhere.';
