-- Two branches into which PostgreSQL pushes conditions: a condition on the path becomes one index
-- probe in each. This requires branches without a join or a condition of their own.
CREATE OR REPLACE VIEW staged_files AS
    SELECT artifact_id, path, sha256, size_bytes, executable, NULL::text AS pack_sha256,
        NULL::bigint AS pack_bytes, NULL::bigint AS pack_offset
    FROM loose_files
    UNION ALL
    SELECT f.artifact_id, f.path, encode(f.sha256, 'hex'), f.size_bytes::bigint, f.executable,
        (SELECT p.sha256 FROM packs p WHERE p.artifact_id = f.artifact_id),
        (SELECT p.size_bytes FROM packs p WHERE p.artifact_id = f.artifact_id), f.pack_offset
    FROM packed_files f;
COMMENT ON VIEW staged_files IS
    'The files of artifacts: served while the artifact of a file is in state ''staged''.';
COMMENT ON COLUMN staged_files.artifact_id IS 'its artifact';
COMMENT ON COLUMN staged_files.path IS 'below /static; compare it COLLATE "C", as the indexes have it';
COMMENT ON COLUMN staged_files.sha256 IS 'of the content';
COMMENT ON COLUMN staged_files.size_bytes IS 'length of the content';
COMMENT ON COLUMN staged_files.executable IS 'whether the archive marks it as executable';
COMMENT ON COLUMN staged_files.pack_sha256 IS
    'the pack that has the content; null: the content is a blob of its own';
COMMENT ON COLUMN staged_files.pack_bytes IS 'length of that pack';
COMMENT ON COLUMN staged_files.pack_offset IS 'where in that pack the content begins';

-- A function, so that its plan is kept: planning the two branches takes several times as long as
-- the probes.
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
COMMENT ON FUNCTION file_served IS 'The file that is served at a path below /static, if one is.';
