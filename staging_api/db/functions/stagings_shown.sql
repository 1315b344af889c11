-- The most frequent reads: a staging with its artifacts, and the states of some artifacts.
--
-- These are functions, not statements sent as text: planning the join takes several times as long
-- as running it. A function keeps its plans for the life of a session, one call is one round trip,
-- and it works through a pooler in transaction mode. The plan is the same for all arguments: all
-- are looked up in the columns of an index.
--
-- The result is JSON, because describing forty columns in each result takes longer than finding the
-- rows. It contains whole rows, so that a new column needs no new function. The version before
-- reads by name the columns that it knows.

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

-- A process that has already built a response from these rows need not build it again. `version`
-- rises with each change that a response shows. xmin, the transaction that wrote a row, changes
-- with each change at all, even while triggers are disabled; the timeline changes with each
-- promotion of a standby, after which lost versions and transaction ids are given out again. The
-- time of the last read changes xmin as well: at most once a minute a response is built needlessly.
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

-- The state for the response to a request for artifacts, from one read:
--   seen   of the newest staging that requested any of them
--   kind   of a lock that another caller holds, with the rest of its row: there is work to do,
--   which needs it
-- Nothing is written; a lock that is free here still has to be acquired. While that staging is in
-- state staged, its rows most probably answer the whole request, so no lock is read.
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
