-- Who decided what about an APT archive, when and why?
SELECT d.at, a.name AS archive, d.caller, d.decision, d.detail
FROM archive_decisions d JOIN apt_archives a ON a.id = d.archive_id
WHERE d.at >= CAST(:since AS timestamptz) AND d.at < CAST(:until AS timestamptz)
UNION ALL
SELECT r.started_at, a.name, r.caller, coalesce(r.purpose, r.operation), jsonb_build_object(
    'run', r.id, 'state', r.state, 'options', r.options, 'notes', r.notes)
FROM publisher_runs r JOIN apt_archives a ON a.id = r.archive_id
WHERE r.started_at >= CAST(:since AS timestamptz) AND r.started_at < CAST(:until AS timestamptz)
UNION ALL
SELECT p.ended_at, a.name, p.deleted_by, 'delete', jsonb_build_object(
    'suite', s.name, 'package', p.package, 'id', p.id, 'reason', p.reason)
FROM package_publications p JOIN suites s ON s.id = p.suite_id
JOIN apt_archives a ON a.id = s.archive_id
WHERE p.state = 'deleted'
  AND p.ended_at >= CAST(:since AS timestamptz) AND p.ended_at < CAST(:until AS timestamptz)
ORDER BY at;
