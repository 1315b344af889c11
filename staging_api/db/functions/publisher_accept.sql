-- An upload of a package that is in the suite already succeeds; a note of the upload says so.
CREATE OR REPLACE FUNCTION publisher_accept_one(p_upload text) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_upload uploads;
    v_suite suites;
    v_package text;
    v_architecture text;
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
        SELECT r.package, r.architecture, r.removed_at INTO v_package, v_architecture, v_removed
        FROM binary_releases r WHERE r.id = v_upload.binary_release_id FOR SHARE;
    ELSE
        SELECT r.package, r.removed_at INTO v_package, v_removed
        FROM source_releases r WHERE r.id = v_upload.source_release_id FOR SHARE;
    END IF;
    IF NOT publisher_offers(v_suite.id, v_upload.component, v_architecture) THEN
        RAISE EXCEPTION 'the suite % has no architecture %', v_suite.name, v_architecture;
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
COMMENT ON FUNCTION publisher_accept_one IS
    'Turns one accepted upload into a pending publication of its package.';

-- Each upload has its own subtransaction, so that one that cannot be published stays accepted,
-- states the reason, and stops no other upload. Call within a guarded transaction of the publisher.
CREATE OR REPLACE FUNCTION publisher_accept(p_uploads text[])
RETURNS TABLE (id text, error text) LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    v_id text;
    v_error text;
BEGIN
    -- In the order in which every transaction locks them; each is looked at again below.
    PERFORM FROM binary_releases r WHERE r.id IN (
        SELECT u.binary_release_id FROM uploads u WHERE u.id = ANY(p_uploads))
    ORDER BY r.id FOR SHARE;
    PERFORM FROM source_releases r WHERE r.id IN (
        SELECT u.source_release_id FROM uploads u WHERE u.id = ANY(p_uploads))
    ORDER BY r.id FOR SHARE;
    FOREACH v_id IN ARRAY p_uploads LOOP
        BEGIN
            PERFORM publisher_accept_one(v_id);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_error = MESSAGE_TEXT;
            UPDATE uploads u
            SET attempts = u.attempts + 1, error_code = 'not_published', error_message = v_error
            WHERE u.id = v_id;
            RETURN QUERY SELECT v_id, v_error;
        END;
    END LOOP;
END $$;
COMMENT ON FUNCTION publisher_accept IS
    'Turns accepted uploads into pending publications; returns those that failed, and why.';
