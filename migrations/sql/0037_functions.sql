-- Statements of staging_api/db/functions as they were at this step, written by `make functions`.
SET LOCAL check_function_bodies = off;

CREATE OR REPLACE FUNCTION file_served(
    p_path text, OUT path text, OUT artifact_id text, OUT sha256 text, OUT size_bytes bigint,
    OUT staged_at timestamptz, OUT executable boolean, OUT pack_sha256 text, OUT pack_bytes bigint,
    OUT pack_offset bigint, OUT hand_out_due boolean) RETURNS SETOF record
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan SET enable_seqscan = off AS $$
BEGIN
    RETURN QUERY
    -- First the path, then each artifact by its id, whatever is estimated, as without statistics:
    -- OFFSET 0 has the artifact probed for each file, and keeps indexes that the state fits out.
    WITH f AS MATERIALIZED (SELECT t.* FROM staged_files t WHERE t.path COLLATE "C" = p_path)
    SELECT f.path, f.artifact_id, f.sha256, f.size_bytes, a.staged_at, f.executable, f.pack_sha256,
        f.pack_bytes, f.pack_offset,
        coalesce(a.last_accessed_at, a.staged_at) <= clock_timestamp() - interval '60 s'
    FROM f CROSS JOIN LATERAL (
        SELECT o.state, o.staged_at, o.last_accessed_at FROM staged_artifacts o
        WHERE o.id = f.artifact_id OFFSET 0
    ) a
    WHERE a.state = 'staged'
    ORDER BY a.staged_at DESC LIMIT 1;
END $$;
