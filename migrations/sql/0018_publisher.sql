-- A generation that went back, and is what clients see, becomes what it was meant to be: a hold of
-- each of its suites, until somebody lifts it.
WITH back AS (
    SELECT d.archive_id, live.id AS live_id, live.content_number, shown.id AS shown_id
    FROM distributions d
    JOIN dists_generations live ON live.id = d.live_generation_id
    JOIN dists_generations head ON head.id = d.head_generation_id
    JOIN dists_generations shown
        ON shown.archive_id = d.archive_id AND shown.number = live.content_number
    WHERE live.content_number <> head.content_number
), held AS (
    INSERT INTO suite_holds (suite_id, generation_id, content_number, held_by, reason)
    SELECT s.id, b.shown_id, b.content_number, 'migration', 'went back before holds were kept'
    FROM back b JOIN suites s ON s.archive_id = b.archive_id
    RETURNING suite_id, content_number
)
INSERT INTO generation_holds (generation_id, suite_id, content_number)
SELECT b.live_id, h.suite_id, h.content_number
FROM held h JOIN suites s ON s.id = h.suite_id JOIN back b ON b.archive_id = s.archive_id;

-- Index files of sources may list what is gone. Those of held suites are made anew when lifted.
UPDATE suites s SET rebuild_since = clock_timestamp(), dirty_since = clock_timestamp()
WHERE EXISTS (
    SELECT FROM package_publications p
    WHERE p.suite_id = s.id AND p.source_release_id IS NOT NULL)
    OR EXISTS (SELECT FROM suite_holds h WHERE h.suite_id = s.id);

-- Turns one accepted upload into a pending publication. A package that is in the suite already is
-- done by that: sending it twice is no mistake, and its note says so.
CREATE OR REPLACE FUNCTION publisher_accept_one(p_upload text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_upload uploads;
    v_suite suites;
    v_package text;
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
        SELECT r.package, r.removed_at INTO v_package, v_removed
        FROM binary_releases r WHERE r.id = v_upload.binary_release_id FOR SHARE;
    ELSE
        SELECT r.package, r.removed_at INTO v_package, v_removed
        FROM source_releases r WHERE r.id = v_upload.source_release_id FOR SHARE;
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

COMMENT ON COLUMN distributions.head_generation_id IS
    'the newest in which no suite is held; differs after going back';
