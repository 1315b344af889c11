-- The reads that are most frequent: a staging with its artifacts, and the states of some artifacts.
--
-- Functions, not statements sent as text: to plan the join anew takes several times as long as to run
-- it. A function keeps its plans for the life of a session, one call is one round trip, and it works
-- through a pooler in transaction mode. Its plan is the same for all arguments: they are looked up in
-- the columns of an index.
--
-- As JSON, because to describe forty columns in each answer takes longer than to find the rows; and
-- whole rows, so that a column that is added needs no other function. The version before reads the
-- columns that it knows, by name.

-- Evicted artifacts are shown only if the staging ended with them.
CREATE OR REPLACE VIEW stagings_shown AS
SELECT s.id, json_build_object('staging', s, 'artifacts', (
    SELECT json_agg(a) FROM staged_artifacts a
    WHERE a.archive_url = s.archive_url AND a.name = ANY (s.requested)
      AND (a.state <> 'evicted' OR a.id = ANY (s.artifact_ids))
)) AS shown
FROM stagings s;
COMMENT ON VIEW stagings_shown IS
    'Each staging, with the artifacts that it ended with and those that there are now.';
COMMENT ON COLUMN stagings_shown.id IS 'of the staging';
COMMENT ON COLUMN stagings_shown.shown IS 'its row, and the rows of its artifacts; null: it has none';

CREATE OR REPLACE FUNCTION stagings_show(p_ids text[]) RETURNS SETOF json
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT t.shown FROM stagings_shown t
    WHERE t.id = ANY (p_ids) ORDER BY array_position(p_ids, t.id);
END $$;
COMMENT ON FUNCTION stagings_show IS
    'The stagings with these ids, in this order, each with its artifacts.';

CREATE OR REPLACE FUNCTION stagings_show_newest(p_archive_url text, p_names text[]) RETURNS SETOF json
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT t.shown FROM stagings_shown t
    WHERE t.id = (
        SELECT n.id FROM stagings n
        WHERE n.archive_url = p_archive_url AND n.requested && p_names
        ORDER BY n.id DESC LIMIT 1);
END $$;
COMMENT ON FUNCTION stagings_show_newest IS
    'The newest staging of an archive that requested any of these artifacts, with its artifacts.';

CREATE OR REPLACE FUNCTION artifact_outcomes(p_archive_url text, p_names text[])
RETURNS TABLE (name text, state text, error_message text)
LANGUAGE plpgsql STABLE SET plan_cache_mode = force_generic_plan AS $$
BEGIN
    RETURN QUERY
    SELECT a.name, a.state, a.error_message FROM staged_artifacts a
    WHERE a.archive_url = p_archive_url AND a.name = ANY (p_names) AND a.state <> 'evicted';
END $$;
COMMENT ON FUNCTION artifact_outcomes IS
    'The states of these artifacts of an archive, of those that have a row and are not evicted.';
