-- As in 0002_events.sql; the event of a staged artifact says as well why nothing was fetched.
CREATE OR REPLACE FUNCTION staged_artifacts_tell() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    e staging_events;
BEGIN
    PERFORM 1 FROM stagings s
    WHERE s.archive_url = NEW.archive_url AND (s.finished_at IS NULL OR s.id = NEW.staging_id)
    ORDER BY s.id FOR NO KEY UPDATE;
    e.staging_id := NEW.staging_id;
    e.kind := 'artifact';
    e.artifact_id := NEW.id;
    e.name := NEW.name;
    e.from_state := CASE WHEN TG_OP = 'UPDATE' THEN OLD.state END;
    e.to_state := NEW.state;
    e.code := CASE WHEN NEW.state = 'evicted' THEN NEW.evict_reason ELSE NEW.error_code END;
    e.message := NEW.error_message;
    e.detail := jsonb_build_object('attempt', NEW.attempt);
    IF e.from_state = e.to_state AND OLD.pinned_until IS DISTINCT FROM NEW.pinned_until THEN
        e.kind := 'pin';
        e.detail := jsonb_build_object('pinned_until', NEW.pinned_until);
    ELSIF NEW.state = 'staged' THEN
        e.detail := e.detail || jsonb_build_object(
            'path', NEW.path, 'sha256', NEW.sha256, 'size_bytes', NEW.size_bytes,
            'source_url', NEW.source_url, 'source_version', NEW.source_version,
            'bytes_done', NEW.bytes_done, 'held_by', NEW.held_by);
    ELSIF e.from_state IS NULL THEN
        e.detail := jsonb_build_object('path', NEW.path, 'phase', NEW.phase);
    END IF;
    PERFORM staging_event_append(e, NEW.archive_url, NEW.lock_kind);
    RETURN NULL;
END $$;
