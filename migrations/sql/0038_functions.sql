-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION publisher_accept_one(p_upload text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_upload uploads;
    v_suite suites;
    v_package text;
    v_architecture text;
    v_removed timestamptz;
BEGIN
    UPDATE uploads u
    SET state = 'done', done_at = clock_timestamp(), error_code = NULL, error_message = NULL
    WHERE u.id = p_upload AND u.state = 'accepted'
    RETURNING u.* INTO v_upload;
    IF NOT FOUND THEN
        RETURN;  -- rejected in the meantime
    END IF;
    SELECT * INTO v_suite FROM suites s WHERE s.id = v_upload.suite_id;
    IF v_suite.immutable THEN
        RAISE EXCEPTION 'the suite % is immutable', v_suite.name;
    END IF;
    PERFORM 1 FROM components c
    WHERE c.suite_id = v_suite.id AND c.name = v_upload.component;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the suite % has no component %', v_suite.name, v_upload.component;
    END IF;
    IF v_upload.binary_release_id IS NOT NULL THEN
        SELECT r.package, r.architecture, r.removed_at INTO v_package, v_architecture, v_removed
        FROM binary_releases r WHERE r.id = v_upload.binary_release_id FOR SHARE;
    ELSE
        SELECT r.package, r.removed_at INTO v_package, v_removed
        FROM source_releases r WHERE r.id = v_upload.source_release_id FOR SHARE;
    END IF;
    IF NOT publisher_offers(v_suite.id, v_upload.component, v_architecture) THEN
        RAISE EXCEPTION 'the suite % has no architecture %', v_suite.name, v_architecture;
    END IF;
    IF v_removed IS NOT NULL THEN
        RAISE EXCEPTION 'the files of % have left the pool: upload it again', v_package;
    END IF;
    INSERT INTO package_publications (
        suite_id, component, source_release_id, binary_release_id, package, upload_id, state)
    VALUES (
        v_suite.id, v_upload.component, v_upload.source_release_id, v_upload.binary_release_id,
        v_package, p_upload, 'pending')
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        UPDATE uploads u
        SET note = concat_ws('; ', u.note, format(
            'it is in %s/%s already: nothing changed', v_suite.name, v_upload.component))
        WHERE u.id = p_upload;
    END IF;
END $$;

CREATE OR REPLACE FUNCTION publisher_offers(p_suite integer, p_component text, p_architecture text)
RETURNS boolean LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN EXISTS (SELECT FROM components c WHERE c.suite_id = p_suite AND c.name = p_component)
        AND (p_architecture IS NULL OR p_architecture = 'all' OR EXISTS (
            SELECT FROM architectures a WHERE a.suite_id = p_suite AND a.name = p_architecture));
END $$;

COMMENT ON FUNCTION publisher_offers IS
    'Whether a suite has an index file for packages of a component and an architecture; null: for sources.';

CREATE OR REPLACE FUNCTION publisher_suites_with_work(p_archive integer, p_signer text)
RETURNS SETOF integer LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN QUERY
    SELECT s.id FROM suites s JOIN apt_archives a ON a.id = s.archive_id
    WHERE s.archive_id = p_archive AND (
        s.dirty_since IS NOT NULL
        OR s.rebuild_since IS NOT NULL
        OR NOT EXISTS (SELECT FROM suite_holds h WHERE h.suite_id = s.id) AND (
            EXISTS (
                SELECT FROM package_publications p
                LEFT JOIN binary_releases b ON b.id = p.binary_release_id
                WHERE p.suite_id = s.id AND p.state = 'pending'
                    AND publisher_offers(s.id, p.component, b.architecture))
            OR EXISTS (
                SELECT FROM package_publications p
                WHERE p.suite_id = s.id AND p.unlisted_since IS NOT NULL))
        OR EXISTS (
            SELECT FROM release_files r
            WHERE r.suite_id = s.id AND r.gone_number IS NULL AND (
                r.valid_until < clock_timestamp() + make_interval(secs => a.valid_for_seconds / 2.0)
                OR p_signer IS NOT NULL AND r.signed_by IS DISTINCT FROM p_signer)));
END $$;

CREATE OR REPLACE FUNCTION publisher_candidates(p_suites integer[])
RETURNS TABLE (
    suite_id integer, id bigint, package text, version_key text, created_at timestamptz, source text,
    source_version_key text, architecture text, installer boolean, release bigint, touched boolean)
LANGUAGE plpgsql STABLE SET enable_seqscan TO off SET plan_cache_mode TO auto AS $$
BEGIN
    IF (SELECT count(*) FROM (
        SELECT FROM package_publications p
        WHERE p.suite_id = ANY(p_suites) AND p.unlisted_since IS NOT NULL LIMIT 200) u) = 200 THEN
        -- The plan for few would compare each with each.
        PERFORM set_config('plan_cache_mode', 'force_custom_plan', true);
    END IF;
    RETURN QUERY
    WITH changed AS MATERIALIZED (
        SELECT DISTINCT p.suite_id, p.package FROM package_publications p
        WHERE p.suite_id = ANY(p_suites) AND p.binary_release_id IS NOT NULL
            AND p.unlisted_since IS NOT NULL
    ), moved AS MATERIALIZED (
        SELECT p.suite_id, r.archive_id, r.source, r.source_version_key
        FROM package_publications p JOIN binary_releases r ON r.id = p.binary_release_id
        WHERE p.suite_id = ANY(p_suites) AND p.unlisted_since IS NOT NULL
        UNION
        SELECT p.suite_id, r.archive_id, r.source, r.source_version_key
        FROM changed c
        JOIN package_publications p ON p.suite_id = c.suite_id AND p.state = 'published'
            AND p.package = c.package
        JOIN binary_releases r ON r.id = p.binary_release_id
    ), named AS MATERIALIZED (
        SELECT c.suite_id, c.package FROM changed c
        UNION
        SELECT m.suite_id, p.package
        FROM moved m JOIN binary_releases r ON r.archive_id = m.archive_id
            AND r.source = m.source AND r.source_version_key = m.source_version_key
        JOIN package_publications p ON p.binary_release_id = r.id
        WHERE p.suite_id = m.suite_id AND p.state = 'published'
    )
    SELECT p.suite_id, p.id, p.package, r.version_key, p.created_at, r.source, r.source_version_key,
        r.architecture, r.installer, r.id, m.source IS NOT NULL
    FROM named n
    JOIN package_publications p ON p.suite_id = n.suite_id AND p.state = 'published'
        AND p.package = n.package
    JOIN binary_releases r ON r.id = p.binary_release_id
    LEFT JOIN moved m ON m.suite_id = p.suite_id AND m.source = r.source
        AND m.source_version_key = r.source_version_key
    WHERE publisher_offers(p.suite_id, p.component, r.architecture);
    RETURN QUERY
    SELECT p.suite_id, p.id, p.package, r.version_key, p.created_at, NULL::text, NULL::text, NULL::text,
        false, r.id, true
    FROM (
        SELECT DISTINCT c.suite_id, c.package FROM package_publications c
        WHERE c.suite_id = ANY(p_suites) AND c.source_release_id IS NOT NULL
            AND c.unlisted_since IS NOT NULL) c
    JOIN package_publications p ON p.suite_id = c.suite_id AND p.state = 'published'
        AND p.package = c.package
    JOIN source_releases r ON r.id = p.source_release_id
    WHERE publisher_offers(p.suite_id, p.component, NULL);
END $$;

COMMENT ON FUNCTION publisher_candidates IS
    'Offered packages that those which have changed may supersede, with these; architecture null: a source.';
