-- Statements of a publisher run that take longer to plan than to execute: as functions, their plans
-- are kept. A plan may have been made while the tables were almost empty, so sequential scans are
-- disabled; and the planner expects a hundred rows in JSON, for which it would read whole tables, so
-- functions with a few of them enable nested loops only. Call the functions that write within a
-- guarded transaction of the publisher.

-- The guard of a write of a run: p_steps is the number of steps that its row must have, null if they are
-- known to be durable, or if the run has no row yet.
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

-- One statement, so that all is read at the same moment: otherwise a run could read an archive before a
-- change and the mark of that change after it, and would clear the mark without having seen the change.
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

-- A suite may have lost the component or architecture of a package: then no index file lists the
-- package, so it supersedes nothing, and waits until the suite has both again.
CREATE OR REPLACE FUNCTION publisher_offers(p_suite integer, p_component text, p_architecture text)
RETURNS boolean LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN EXISTS (SELECT FROM components c WHERE c.suite_id = p_suite AND c.name = p_component)
        AND (p_architecture IS NULL OR p_architecture = 'all' OR EXISTS (
            SELECT FROM architectures a WHERE a.suite_id = p_suite AND a.name = p_architecture));
END $$;
COMMENT ON FUNCTION publisher_offers IS
    'Whether a suite has an index file for packages of a component and an architecture; null: for sources.';

-- Suites that a run has to process: suites with packages to publish or to list, unless they are
-- held, and suites whose Release expires soon, or is signed by another key. If p_signer is null,
-- any key is accepted.
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
COMMENT ON FUNCTION publisher_suites_with_work IS
    'Suites of which clients do not see all that they should.';

-- Packages that the changed packages can supersede: versions of the same names; and packages for
-- all architectures that stayed only for other binaries of their source release, whatever their
-- names are. Only rows with touched = true may be superseded. A source never is for all
-- architectures.
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

-- Then sets the time from which the files of ended publications may leave the pool. A superseded
-- source waits until none of its binaries is left in the suite.
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
COMMENT ON FUNCTION publisher_supersede IS
    'Makes publications superseded; returns a note for each that clients never saw, which its upload gets, too.';

CREATE OR REPLACE FUNCTION publisher_unlisted(p_suites integer[])
RETURNS TABLE (
    suite_id integer, id bigint, since timestamptz, shown boolean, component text, architecture text,
    installer boolean, control text, source_release_id bigint, path text, size_bytes bigint, sha256 text)
LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN QUERY
    SELECT p.suite_id, p.id, p.unlisted_since, p.state = 'published', p.component, b.architecture,
        coalesce(b.installer, false), coalesce(b.control, s.control), p.source_release_id, f.path,
        f.size_bytes, f.sha256
    FROM package_publications p
    LEFT JOIN binary_releases b ON b.id = p.binary_release_id
    LEFT JOIN source_releases s ON s.id = p.source_release_id
    LEFT JOIN source_release_files d ON d.source_release_id = s.id AND d.position = 0
    JOIN package_files f ON f.id = coalesce(b.file_id, d.file_id)
    WHERE p.suite_id = ANY(p_suites) AND p.unlisted_since IS NOT NULL
    ORDER BY p.id;
END $$;
COMMENT ON FUNCTION publisher_unlisted IS 'Packages that the index files do not show as they are.';

-- An archive has one live generation. If there are hooks, which may read the new generation, its
-- row exists already.
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
COMMENT ON FUNCTION publisher_go_live IS
    'Makes a generation live from the commit of this transaction on; returns its number.';

-- Marks that changed again after they were read stay.
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
COMMENT ON FUNCTION publisher_settle IS
    'Clears the marks of packages and suites that a generation shows as they were read.';

-- Packages without an index file in the suite wait. Two statements, because each uses an index of
-- its own.
CREATE OR REPLACE FUNCTION publisher_files_to_publish(p_suites integer[], p_published_too boolean)
RETURNS TABLE (id bigint, sha256 text, size_bytes bigint, path text)
LANGUAGE plpgsql STABLE SET enable_seqscan TO off AS $$
BEGIN
    RETURN QUERY
    SELECT p.id, f.sha256, f.size_bytes, f.path
    FROM package_publications p
    LEFT JOIN binary_releases b ON b.id = p.binary_release_id
    LEFT JOIN source_release_files s ON s.source_release_id = p.source_release_id
    JOIN package_files f ON f.id = coalesce(b.file_id, s.file_id)
    WHERE p.suite_id = ANY(p_suites) AND p.state = 'pending'
        AND publisher_offers(p.suite_id, p.component, b.architecture);
    IF p_published_too THEN
        RETURN QUERY
        SELECT p.id, f.sha256, f.size_bytes, f.path
        FROM package_publications p
        LEFT JOIN binary_releases b ON b.id = p.binary_release_id
        LEFT JOIN source_release_files s ON s.source_release_id = p.source_release_id
        JOIN package_files f ON f.id = coalesce(b.file_id, s.file_id)
        WHERE p.suite_id = ANY(p_suites) AND p.state = 'published';
    END IF;
END $$;
COMMENT ON FUNCTION publisher_files_to_publish IS
    'The files of pending packages, and of published ones if they are to be looked for, too.';
