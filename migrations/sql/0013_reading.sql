-- What is asked most often: a staging with its artifacts, and what became of some artifacts.
--
-- Functions, not statements sent as text: to plan the join anew takes several times as long as to
-- run it. A function keeps its plans for the life of a session, one call is one round trip, and it
-- works through a pooler in transaction mode. Its plan is the same whatever is asked for: what is
-- searched by are the columns of an index.
--
-- As JSON, because to describe forty columns in each answer takes longer than to find the rows; and
-- whole rows, so that a column that is added needs no other function. The version before reads the
-- columns that it knows, by name.

CREATE VIEW stagings_told AS
SELECT s.id, json_build_object('staging', s, 'artifacts', (
    SELECT json_agg(a) FROM staged_artifacts a
    WHERE a.archive_url = s.archive_url AND a.name = ANY (s.requested) AND a.state <> 'evicted'
)) AS told
FROM stagings s;
COMMENT ON VIEW stagings_told IS
    'Each staging, with the artifacts that it asked for as they are now.';
COMMENT ON COLUMN stagings_told.id IS 'of the staging';
COMMENT ON COLUMN stagings_told.told IS 'its row, and the rows of its artifacts; null: it has none';

-- Those with these ids, in their order.
CREATE FUNCTION stagings_by_id(p_ids text[]) RETURNS SETOF json
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT t.told FROM stagings_told t
    WHERE t.id = ANY (p_ids) ORDER BY array_position(p_ids, t.id);
END $$;

-- The newest of an archive that asked for any of these names.
CREATE FUNCTION staging_newest(p_archive_url text, p_names text[]) RETURNS SETOF json
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT t.told FROM stagings_told t
    WHERE t.id = (
        SELECT n.id FROM stagings n
        WHERE n.archive_url = p_archive_url AND n.requested && p_names
        ORDER BY n.id DESC LIMIT 1);
END $$;

-- What became of these entries of an archive, of those that have a live row.
CREATE FUNCTION artifact_outcomes(p_archive_url text, p_names text[])
RETURNS TABLE (name text, state text, error_message text)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT a.name, a.state, a.error_message FROM staged_artifacts a
    WHERE a.archive_url = p_archive_url AND a.name = ANY (p_names) AND a.state <> 'evicted';
END $$;
