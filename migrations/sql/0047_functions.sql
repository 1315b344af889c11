-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION lock_guard_write(p_kind text, p_scope text, p_id text, p_fence bigint)
RETURNS void LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF NOT lock_guard(p_kind, p_scope, p_id, p_fence) THEN
        RAISE EXCEPTION 'the % lock on % is no longer held', p_kind, p_scope USING ERRCODE = 'SA001';
    END IF;
    PERFORM set_config('staging.locks', concat_ws(
        ' ', nullif(current_setting('staging.locks', true), ''), p_id), true);
END $$;

COMMENT ON FUNCTION lock_guard_write IS
    'Raises SA001 unless the lease is current and unexpired; otherwise this transaction may write under it.';

CREATE OR REPLACE FUNCTION publisher_add_binaries(p_archive integer, p_rows jsonb)
RETURNS TABLE (place integer, id bigint, version text, path text, sha256 text)
LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off AS $$
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
SET enable_hashjoin TO off SET enable_mergejoin TO off AS $$
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
SET enable_hashjoin TO off SET enable_mergejoin TO off AS $$
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

CREATE OR REPLACE FUNCTION publisher_add_uploads(
    p_suite integer, p_caller text, p_lifted text, p_rows jsonb)
RETURNS TABLE (
    id text, archive text, suite text, component text, name text, state text, package text, version text,
    architecture text, sha256 text, caller text, reference_id text, created_at timestamptz,
    decided_at timestamptz, decided_by text, done_at timestamptz, attempts integer, error_code text,
    error_message text, note text)
LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off AS $$
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

CREATE OR REPLACE FUNCTION publisher_guard(
    p_kind text, p_scope text, p_lock text, p_fence bigint, p_run text, p_steps integer)
RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
BEGIN
    PERFORM lock_guard_write(p_kind, p_scope, p_lock, p_fence);
    IF p_steps IS NOT NULL THEN
        PERFORM FROM publisher_runs r WHERE r.id = p_run AND r.steps = p_steps;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'a step of the publication % was lost', p_run USING ERRCODE = 'SA002';
        END IF;
    END IF;
END $$;

COMMENT ON FUNCTION publisher_guard IS
    'As lock_guard_write; raises SA002 if the run does not have that many steps.';

CREATE OR REPLACE FUNCTION publisher_step(
    p_kind text, p_scope text, p_lock text, p_fence bigint, p_run text, p_steps integer)
RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
BEGIN
    PERFORM lock_guard_write(p_kind, p_scope, p_lock, p_fence);
    UPDATE publisher_runs r SET steps = r.steps + 1 WHERE r.id = p_run AND r.steps = p_steps;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a step of the publication % was lost', p_run USING ERRCODE = 'SA002';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
END $$;

COMMENT ON FUNCTION publisher_step IS
    'As publisher_guard, and counts this transaction as a step of the run, which does not wait for the disk.';

CREATE OR REPLACE FUNCTION publisher_archive(p_name text)
RETURNS TABLE (archive apt_archives, seen_at timestamptz, suite_rows json[])
LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN QUERY
    SELECT r, clock_timestamp(), array(
        SELECT to_json(s) FROM (
            SELECT s.*,
                array(SELECT c.name FROM components c WHERE c.suite_id = s.id ORDER BY c.position)
                    AS components,
                array(SELECT a.name FROM architectures a WHERE a.suite_id = s.id ORDER BY a.name)
                    AS architectures,
                (SELECT to_json(h) FROM suite_holds h WHERE h.suite_id = s.id) AS held
            FROM suites s WHERE s.archive_id = r.id) s
        ORDER BY s.name)
    FROM apt_archives r WHERE r.name = p_name;
END $$;

COMMENT ON FUNCTION publisher_archive IS 'An archive with its suites, and when it was like this.';

CREATE OR REPLACE FUNCTION publisher_publish(p_ids bigint[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off AS $$
DECLARE
    v_count bigint;
BEGIN
    WITH published AS (
        UPDATE package_publications p
        SET state = 'published', published_at = clock_timestamp(),
            unlisted_since = clock_timestamp(), error_message = NULL
        WHERE p.id = ANY(p_ids) AND p.state = 'pending'
        RETURNING p.suite_id
    ), dirty AS (
        UPDATE suites SET dirty_since = clock_timestamp()
        WHERE id IN (
            SELECT id FROM suites WHERE id IN (SELECT suite_id FROM published)
            ORDER BY id FOR NO KEY UPDATE)
    )
    SELECT count(*) INTO v_count FROM published;
    RETURN v_count;
END $$;

COMMENT ON FUNCTION publisher_publish IS
    'Makes pending publications published, and their suites dirty; returns how many.';

CREATE OR REPLACE FUNCTION publisher_supersede(
    p_archive integer, p_ids bigint[], p_bys bigint[], p_quarantine double precision)
RETURNS SETOF text LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off SET plan_cache_mode TO force_generic_plan AS $$
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

CREATE OR REPLACE FUNCTION publisher_go_live(
    p_generation text, p_archive integer, p_run text, p_caller text, p_is_head boolean, p_content bigint,
    p_holds jsonb, p_closed jsonb, p_layouts jsonb, p_files jsonb, p_releases jsonb)
RETURNS bigint LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off AS $$
DECLARE
    v_number bigint;
BEGIN
    UPDATE dists_generations SET state = 'retired', retired_at = clock_timestamp()
    WHERE archive_id = p_archive AND state = 'live';
    INSERT INTO dists_generations AS g (
        id, archive_id, number, content_number, state, run_id, live_at)
    SELECT p_generation, p_archive, n.number, coalesce(p_content, n.number), 'live', p_run,
        clock_timestamp()
    FROM (
        SELECT coalesce(max(o.number), 0) + 1 AS number
        FROM dists_generations o WHERE o.archive_id = p_archive) n
    ON CONFLICT (id) DO UPDATE SET state = 'live', live_at = clock_timestamp(),
        content_number = coalesce(p_content, g.number)
    WHERE g.state = 'building'
    RETURNING number INTO STRICT v_number;
    INSERT INTO distributions AS d (
        archive_id, live_generation_id, head_generation_id, changed_by)
    VALUES (p_archive, p_generation, p_generation, p_caller)
    ON CONFLICT (archive_id) DO UPDATE
    SET live_generation_id = p_generation, changed_at = clock_timestamp(), changed_by = p_caller,
        head_generation_id = CASE WHEN p_is_head THEN p_generation ELSE d.head_generation_id END;
    INSERT INTO generation_holds (generation_id, suite_id, content_number)
    SELECT p_generation, h.key::integer, h.value::bigint FROM jsonb_each_text(p_holds) h;
    UPDATE release_files r SET gone_number = v_number
    FROM jsonb_to_recordset(p_releases) AS n (suite_id integer)
    WHERE r.suite_id = n.suite_id AND r.gone_number IS NULL;
    UPDATE index_files f SET gone_number = v_number
    FROM jsonb_to_recordset(p_closed) AS c (suite_id integer, path text, form text)
    WHERE f.suite_id = c.suite_id AND f.path = c.path AND f.form = c.form AND f.gone_number IS NULL;
    INSERT INTO index_layouts (sha256, blocks)
    SELECT l.sha256, l.blocks
    FROM jsonb_to_recordset(p_layouts) AS l (sha256 text, blocks text[])
    ON CONFLICT DO NOTHING;
    INSERT INTO index_files (
        suite_id, path, form, served, layout, size_bytes, sha256, first_number)
    SELECT f.suite_id, f.path, f.form, f.served, f.layout, f.size_bytes, f.sha256, v_number
    FROM jsonb_to_recordset(p_files) AS f (
        suite_id integer, path text, form text, served boolean, layout text, size_bytes bigint,
        sha256 text);
    INSERT INTO release_files (
        suite_id, name, content, sha256, dated_at, valid_until, signed_by, modified_at, first_number)
    SELECT r.suite_id, r.name, decode(r.content, 'base64'), r.sha256, r.dated_at, r.valid_until,
        r.signed_by, r.modified_at, v_number
    FROM jsonb_to_recordset(p_releases) AS r (
        suite_id integer, name text, content text, sha256 text, dated_at timestamptz,
        valid_until timestamptz, signed_by text, modified_at timestamptz);
    RETURN v_number;
END $$;

CREATE OR REPLACE FUNCTION publisher_settle(p_number bigint, p_shown jsonb, p_suites jsonb)
RETURNS void LANGUAGE plpgsql VOLATILE SET enable_seqscan TO off
SET enable_hashjoin TO off SET enable_mergejoin TO off AS $$
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
