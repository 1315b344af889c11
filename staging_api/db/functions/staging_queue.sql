-- The only definition of artifacts that are to do, or due: for workers, metrics and waiting
-- requests.
CREATE OR REPLACE VIEW staging_queue AS
SELECT a.id AS artifact_id, a.archive_url, a.name, a.phase, a.state, a.lock_kind,
    s.id AS staging_id, s.cancel_requested_at IS NOT NULL AS cancel_requested,
    t.due_at, t.worked_on, t.due_at <= clock_timestamp() AND NOT t.worked_on AS due
FROM staged_artifacts a
JOIN stagings s ON s.id = a.staging_id AND s.finished_at IS NULL
CROSS JOIN LATERAL (
    SELECT coalesce(a.next_attempt_at, s.created_at) AS due_at, EXISTS (
        SELECT FROM lock_scopes l
        WHERE l.kind = a.lock_kind AND l.scope = a.archive_url
          AND l.lock_id IS NOT NULL AND l.expires_at > clock_timestamp()) AS worked_on
) t
WHERE a.state IN ('pending', 'staging');
COMMENT ON VIEW staging_queue IS
    'The artifacts that are to do: when each is due, and whether its lock is held.';
COMMENT ON COLUMN staging_queue.artifact_id IS 'the artifact';
COMMENT ON COLUMN staging_queue.archive_url IS 'its archive';
COMMENT ON COLUMN staging_queue.name IS 'entry of the catalogue';
COMMENT ON COLUMN staging_queue.phase IS 'foreground or background';
COMMENT ON COLUMN staging_queue.state IS 'pending or staging';
COMMENT ON COLUMN staging_queue.lock_kind IS 'the lock under which it is staged';
COMMENT ON COLUMN staging_queue.staging_id IS 'the staging that it belongs to';
COMMENT ON COLUMN staging_queue.cancel_requested IS 'whether that staging is to be cancelled';
COMMENT ON COLUMN staging_queue.due_at IS 'when it is due';
COMMENT ON COLUMN staging_queue.worked_on IS 'whether its lock is held';
COMMENT ON COLUMN staging_queue.due IS 'whether a worker takes it up now';
