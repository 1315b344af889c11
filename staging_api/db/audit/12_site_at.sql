-- Which revision was the site at, at some moment?
SELECT DISTINCT ON (v.version) v.version, e.revision, e.at, e.actor, e.reference_id, e.reason
FROM document_events e
JOIN (VALUES
    ('committed', 'commit', NULL),
    ('last_site_action', 'tag', 'site-action-success'),
    ('last_site_action', 'tag', 'site-action-failure'),
    ('successful_site_action', 'tag', 'site-action-success')
) AS v (version, kind, name) ON e.kind = v.kind AND (v.name IS NULL OR e.name = v.name)
WHERE e.at <= CAST(:moment AS timestamptz)
ORDER BY v.version, e.revision DESC, e.number DESC;
