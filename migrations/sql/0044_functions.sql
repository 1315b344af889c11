-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION publisher_accept(p_uploads text[])
RETURNS TABLE (id text, error text) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_id text;
    v_error text;
BEGIN
    -- In the order in which every transaction locks them; each is looked at again below.
    PERFORM FROM binary_releases r WHERE r.id IN (
        SELECT u.binary_release_id FROM uploads u WHERE u.id = ANY(p_uploads))
    ORDER BY r.id FOR SHARE;
    PERFORM FROM source_releases r WHERE r.id IN (
        SELECT u.source_release_id FROM uploads u WHERE u.id = ANY(p_uploads))
    ORDER BY r.id FOR SHARE;
    FOREACH v_id IN ARRAY p_uploads LOOP
        BEGIN
            PERFORM publisher_accept_one(v_id);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_error = MESSAGE_TEXT;
            UPDATE uploads u
            SET attempts = u.attempts + 1, error_code = 'not_published', error_message = v_error
            WHERE u.id = v_id;
            RETURN QUERY SELECT v_id, v_error;
        END;
    END LOOP;
END $$;

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

CREATE OR REPLACE FUNCTION publisher_supersede(
    p_archive integer, p_ids bigint[], p_bys bigint[], p_quarantine double precision)
RETURNS SETOF text LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
BEGIN
    RETURN QUERY
    WITH superseded AS (
        UPDATE package_publications p
        SET state = 'superseded', superseded_by = s.by, ended_at = clock_timestamp(),
            unlisted_since = clock_timestamp()
        FROM unnest(p_ids, p_bys) AS s (id, by)
        WHERE p.id = s.id AND p.state = 'published'
        RETURNING p.*
    ), dirty AS (
        UPDATE suites SET dirty_since = clock_timestamp()
        WHERE id IN (
            SELECT id FROM suites WHERE id IN (SELECT suite_id FROM superseded)
            ORDER BY id FOR NO KEY UPDATE)
    ), unseen AS (
        SELECT s.upload_id, format(
            '%s %s was never offered by %s, which has %s', s.package,
            coalesce(b.version, c.version), u.name, coalesce(nb.version, nc.version)) AS note
        FROM superseded s
        JOIN suites u ON u.id = s.suite_id
        LEFT JOIN binary_releases b ON b.id = s.binary_release_id
        LEFT JOIN source_releases c ON c.id = s.source_release_id
        JOIN package_publications n ON n.id = s.superseded_by
        LEFT JOIN binary_releases nb ON nb.id = n.binary_release_id
        LEFT JOIN source_releases nc ON nc.id = n.source_release_id
        WHERE s.listed_in IS NULL
    ), noted AS (
        UPDATE uploads u SET note = concat_ws('; ', u.note, n.note) FROM unseen n WHERE u.id = n.upload_id
    )
    SELECT unseen.note FROM unseen ORDER BY unseen.note;
    UPDATE package_publications p
    SET scheduled_deletion_at = CASE
        WHEN p.state = 'deleted' THEN clock_timestamp()
        ELSE clock_timestamp() + make_interval(secs => p_quarantine) END
    FROM suites u
    WHERE u.id = p.suite_id AND u.archive_id = p_archive
        AND p.ended_at IS NOT NULL AND p.scheduled_deletion_at IS NULL
        AND NOT EXISTS (
            SELECT FROM source_releases s
            JOIN binary_releases r ON r.archive_id = s.archive_id AND r.source = s.package
                AND r.source_version_key = s.version_key
            JOIN package_publications b ON b.binary_release_id = r.id
            WHERE s.id = p.source_release_id AND p.state = 'superseded'
                AND b.suite_id = p.suite_id AND b.ended_at IS NULL);
END $$;

CREATE OR REPLACE FUNCTION publisher_settle(p_number bigint, p_shown jsonb, p_suites jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
BEGIN
    UPDATE package_publications p
    SET unlisted_since = CASE WHEN p.unlisted_since = l.since THEN NULL ELSE p.unlisted_since END,
        listed_in = CASE WHEN l.shown THEN coalesce(p.listed_in, p_number) ELSE p.listed_in END,
        delisted_in = CASE WHEN l.shown THEN NULL ELSE p_number END
    FROM jsonb_to_recordset(p_shown) AS l (id bigint, since timestamptz, shown boolean)
    WHERE p.id = l.id;
    PERFORM FROM suites WHERE id IN (
        SELECT d.id FROM jsonb_to_recordset(p_suites) AS d (id integer))
    ORDER BY id FOR NO KEY UPDATE;
    UPDATE suites s
    SET dirty_since = CASE WHEN s.dirty_since = d.dirty THEN NULL ELSE s.dirty_since END,
        rebuild_since = CASE WHEN s.rebuild_since = d.rebuild THEN NULL ELSE s.rebuild_since END
    FROM jsonb_to_recordset(p_suites) AS d (id integer, dirty timestamptz, rebuild timestamptz)
    WHERE s.id = d.id AND (s.dirty_since = d.dirty OR s.rebuild_since = d.rebuild);
END $$;
