-- The record of changes of documents: one chain, written by triggers in the transaction of the
-- change itself. Each row has the digest of the one before, as in staging_events. Changes are made
-- by the holder of one lock, one after the other; a change by hand waits for the newest row.

CREATE OR REPLACE FUNCTION document_event_text(e document_events) RETURNS text LANGUAGE sql STABLE AS $$
    SELECT jsonb_build_array(
        e.number, e.id, to_char(e.at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        e.kind, e.revision, e.name, e.actor, e.holder, e.reference_id, e.lock_id, e.fence,
        e.reason, e.detail::text, e.previous_digest)::text
$$;
COMMENT ON FUNCTION document_event_text IS 'The text of an event of which its digest is made.';

CREATE OR REPLACE FUNCTION document_event_append(e document_events) RETURNS void
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(hashtext('document_events'));
    SELECT p.number, p.digest INTO e.number, e.previous_digest
    FROM document_events p ORDER BY p.number DESC LIMIT 1;
    e.number := coalesce(e.number, 0) + 1;
    e.at := clock_timestamp();
    e.id := ulid_of(e.at);
    e.detail := jsonb_strip_nulls(coalesce(e.detail, '{}'));
    e.digest := encode(sha256(convert_to(document_event_text(e), 'UTF8')), 'hex');
    INSERT INTO document_events SELECT e.*;
END $$;
COMMENT ON FUNCTION document_event_append IS
    'Adds an event at the end of the chain, and fills in its number, time and digest.';

-- The actor is the caller that the row names. For a row that was deleted or changed by hand, the
-- actor is the role that is logged in.
CREATE OR REPLACE FUNCTION document_revisions_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    e document_events;
BEGIN
    e.kind := 'revision';
    e.revision := NEW.number;
    e.name := (SELECT c.name FROM document_collections c WHERE c.id = NEW.collection_id);
    e.actor := NEW.caller;
    e.holder := NEW.holder;
    e.reference_id := NEW.reference_id;
    e.lock_id := NEW.lock_id;
    e.fence := NEW.fence;
    e.reason := NEW.reason;
    e.detail := jsonb_build_object(
        'kind', NEW.kind, 'copied_from', NEW.copied_from, 'digest', NEW.digest);
    PERFORM document_event_append(e);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION document_revisions_tell IS 'Writes the event of a new revision.';

CREATE OR REPLACE TRIGGER document_revisions_tell AFTER INSERT ON document_revisions
FOR EACH ROW EXECUTE FUNCTION document_revisions_tell();

CREATE OR REPLACE FUNCTION document_commits_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    e document_events;
BEGIN
    e.revision := NEW.revision;
    IF TG_OP = 'INSERT' THEN
        e.kind := 'commit';
        e.actor := NEW.caller;
        e.holder := NEW.holder;
        e.reference_id := NEW.reference_id;
        e.lock_id := NEW.lock_id;
        e.fence := NEW.fence;
        e.reason := NEW.reason;
        e.detail := jsonb_build_object(
            'forced', NEW.forced, 'confirm_until', NEW.confirm_until);
    ELSIF NEW.undone_in IS NOT NULL AND OLD.undone_in IS NULL THEN
        e.kind := 'undo';
        e.actor := coalesce(
            (SELECT r.caller FROM document_revisions r WHERE r.number = NEW.undone_in),
            'database role ' || session_user);
        e.detail := jsonb_build_object('undone_in', NEW.undone_in);
    ELSE
        e.kind := 'confirm';
        e.actor := coalesce(NEW.confirmed_by, 'database role ' || session_user);
        e.detail := jsonb_build_object(
            'confirm_until', NEW.confirm_until, 'confirmed_at', NEW.confirmed_at);
    END IF;
    PERFORM document_event_append(e);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION document_commits_tell IS
    'Writes the event of a commit, of its confirmation or of its undoing.';

CREATE OR REPLACE TRIGGER document_commits_tell AFTER INSERT OR UPDATE ON document_commits
FOR EACH ROW EXECUTE FUNCTION document_commits_tell();

CREATE OR REPLACE FUNCTION document_tags_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    e document_events;
    v_tag document_tags := CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END;
BEGIN
    e.kind := CASE WHEN TG_OP = 'DELETE' THEN 'untag' ELSE 'tag' END;
    e.revision := v_tag.revision;
    e.name := v_tag.tag;
    IF TG_OP = 'DELETE' THEN
        e.actor := coalesce(
            nullif(current_setting('staging.actor', true), ''), 'database role ' || session_user);
    ELSE
        e.actor := v_tag.caller;
        e.holder := v_tag.holder;
        e.reference_id := v_tag.reference_id;
        e.lock_id := v_tag.lock_id;
        e.fence := v_tag.fence;
        e.reason := v_tag.reason;
    END IF;
    e.detail := jsonb_build_object('data', v_tag.data);
    PERFORM document_event_append(e);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION document_tags_tell IS
    'Writes the event of a tag that was set, changed or deleted.';

CREATE OR REPLACE TRIGGER document_tags_tell AFTER INSERT OR UPDATE OR DELETE ON document_tags
FOR EACH ROW EXECUTE FUNCTION document_tags_tell();

CREATE OR REPLACE FUNCTION document_history_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only: % is refused', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'insufficient_privilege';
END $$;
COMMENT ON FUNCTION document_history_refuse IS
    'Refuses every change of a row of an append-only table.';

CREATE OR REPLACE TRIGGER document_events_refuse BEFORE UPDATE OR DELETE ON document_events
FOR EACH ROW EXECUTE FUNCTION document_history_refuse();

CREATE OR REPLACE TRIGGER document_events_refuse_truncate BEFORE TRUNCATE ON document_events
FOR EACH STATEMENT EXECUTE FUNCTION document_history_refuse();

CREATE OR REPLACE TRIGGER document_revisions_refuse BEFORE UPDATE OR DELETE ON document_revisions
FOR EACH ROW EXECUTE FUNCTION document_history_refuse();
