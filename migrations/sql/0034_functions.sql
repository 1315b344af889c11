-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION file_served(
    p_path text, OUT path text, OUT artifact_id text, OUT sha256 text, OUT size_bytes bigint,
    OUT staged_at timestamptz, OUT executable boolean, OUT pack_sha256 text, OUT pack_bytes bigint,
    OUT pack_offset bigint, OUT hand_out_due boolean) RETURNS SETOF record
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    -- First the path, whatever is estimated: an artifact has many files, a path one or two.
    WITH f AS MATERIALIZED (SELECT t.* FROM staged_files t WHERE t.path COLLATE "C" = p_path)
    SELECT f.path, f.artifact_id, f.sha256, f.size_bytes, a.staged_at, f.executable, f.pack_sha256,
        f.pack_bytes, f.pack_offset,
        coalesce(a.last_accessed_at, a.staged_at) <= clock_timestamp() - interval '60 s'
    FROM f JOIN staged_artifacts a ON a.id = f.artifact_id
    WHERE a.state = 'staged'
    ORDER BY a.staged_at DESC LIMIT 1;
END $$;

COMMENT ON FUNCTION file_served IS 'The file that is served at a path below /static, if one is.';

CREATE OR REPLACE VIEW stagings_seen AS
SELECT s.id, s.state, concat_ws(' ', left(pg_walfile_name(pg_current_wal_lsn()), 8),
    s.id || '.' || s.version || '.' || s.xmin::text, (
        SELECT string_agg(a.id || '.' || a.version || '.' || a.xmin::text, ' ' ORDER BY a.id)
        FROM staged_artifacts a
        WHERE a.archive_url = s.archive_url AND a.name = ANY (s.requested)
          AND (a.state <> 'evicted' OR a.id = ANY (s.artifact_ids))
    )) AS seen
FROM stagings s;

COMMENT ON VIEW stagings_seen IS
    'Each staging, with what identifies the rows that stagings_shown has of it.';

COMMENT ON COLUMN stagings_seen.id IS 'of the staging';

COMMENT ON COLUMN stagings_seen.state IS 'of the staging';

COMMENT ON COLUMN stagings_seen.seen IS
    'timeline, then id, version and transaction of its row and of those of its artifacts';

CREATE OR REPLACE FUNCTION staging_seen(p_id text) RETURNS text
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    RETURN (SELECT t.seen FROM stagings_seen t WHERE t.id = p_id);
END $$;

COMMENT ON FUNCTION staging_seen IS
    'Identifies the rows that stagings_shown has of a staging; null: there is no such staging.';

CREATE OR REPLACE FUNCTION staging_asked(
    p_archive_url text, p_names text[], p_kinds text[],
    OUT seen text, OUT kind text, OUT id text, OUT fence bigint, OUT caller text, OUT holder text,
    OUT reference_id text, OUT acquired_at timestamptz, OUT expires_at timestamptz,
    OUT remaining_seconds double precision)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
DECLARE
    v_state text;
BEGIN
    SELECT t.seen, t.state INTO seen, v_state FROM stagings_seen t
    WHERE t.id = (
        SELECT n.id FROM stagings n
        WHERE n.archive_url = p_archive_url AND n.requested && p_names
        ORDER BY n.id DESC LIMIT 1);
    IF v_state = 'staged' THEN
        RETURN;
    END IF;
    IF EXISTS (
            SELECT FROM unnest(p_names) n
            WHERE NOT EXISTS (
                SELECT FROM staged_artifacts a
                WHERE a.archive_url = p_archive_url AND a.name = n AND a.state <> 'evicted'))
        OR EXISTS (
            SELECT FROM staged_artifacts a
            WHERE a.archive_url = p_archive_url AND a.name = ANY (p_names)
              AND (a.state = 'failed'
                   OR a.state IN ('pending', 'staging') AND a.phase = 'foreground'))
    THEN
        SELECT s.kind, s.lock_id, s.fence, s.caller, s.holder, s.reference_id, s.acquired_at,
            s.expires_at, date_part('epoch', s.expires_at - clock_timestamp())
        INTO kind, id, fence, caller, holder, reference_id, acquired_at, expires_at,
            remaining_seconds
        FROM lock_scopes s
        WHERE s.kind = ANY (p_kinds) AND s.scope = p_archive_url AND s.lock_id IS NOT NULL
          AND s.expires_at > clock_timestamp()
        ORDER BY array_position(p_kinds, s.kind) LIMIT 1;
    END IF;
END $$;

COMMENT ON FUNCTION staging_asked IS
    'Identifies the newest staging of these artifacts, and finds the lock that work on them waits for.';
