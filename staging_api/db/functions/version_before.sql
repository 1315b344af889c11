-- Called only by the version before. A later migration drops it, when that version is out of use.

CREATE OR REPLACE VIEW stagings_told AS
SELECT s.id, json_build_object('staging', s, 'artifacts', (
    SELECT json_agg(a) FROM staged_artifacts a
    WHERE a.archive_url = s.archive_url AND a.name = ANY (s.requested) AND a.state <> 'evicted'
)) AS told
FROM stagings s;
COMMENT ON VIEW stagings_told IS
    'Each staging, with the artifacts that it requested, as they are now.';
COMMENT ON COLUMN stagings_told.id IS 'of the staging';
COMMENT ON COLUMN stagings_told.told IS 'its row, and the rows of its artifacts; null: it has none';

CREATE OR REPLACE FUNCTION stagings_by_id(p_ids text[]) RETURNS SETOF json
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT t.told FROM stagings_told t
    WHERE t.id = ANY (p_ids) ORDER BY array_position(p_ids, t.id);
END $$;
COMMENT ON FUNCTION stagings_by_id IS 'The form of stagings_show that the version before calls: without evicted artifacts.';

CREATE OR REPLACE FUNCTION staging_newest(p_archive_url text, p_names text[]) RETURNS SETOF json
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT t.told FROM stagings_told t
    WHERE t.id = (
        SELECT n.id FROM stagings n
        WHERE n.archive_url = p_archive_url AND n.requested && p_names
        ORDER BY n.id DESC LIMIT 1);
END $$;
COMMENT ON FUNCTION staging_newest IS
    'The form of stagings_show_newest that the version before calls: without evicted artifacts.';
