-- Who committed what, when and why?
WITH commits AS (
    SELECT c.*, coalesce(lag(c.revision) OVER (ORDER BY c.revision), 0) AS before
    FROM document_commits c
)
SELECT c.revision, c.created_at AS committed_at, c.caller AS committed_by, c.reference_id, c.reason,
    c.forced, c.undone_in, k.name AS collection,
    CASE WHEN old.content_id IS NULL THEN 'created'
         WHEN new.content_id IS NULL THEN 'deleted' ELSE 'modified' END AS change,
    r.caller AS posted_by, r.created_at AS posted_at, r.reason AS posted_because
FROM commits c
CROSS JOIN LATERAL (
    SELECT DISTINCT v.collection_id FROM document_collection_versions v
    WHERE v.first_revision > c.before AND v.first_revision <= c.revision
       OR v.until_revision > c.before AND v.until_revision <= c.revision
) touched
JOIN document_collections k ON k.id = touched.collection_id
LEFT JOIN document_collection_versions old ON old.collection_id = k.id
    AND old.first_revision <= c.before AND coalesce(old.until_revision > c.before, true)
LEFT JOIN document_collection_versions new ON new.collection_id = k.id
    AND new.first_revision <= c.revision AND coalesce(new.until_revision > c.revision, true)
LEFT JOIN document_revisions r ON r.number = coalesce(new.first_revision, old.until_revision)
WHERE c.created_at >= CAST(:since AS timestamptz) AND c.created_at < CAST(:until AS timestamptz)
  AND old.content_id IS DISTINCT FROM new.content_id
ORDER BY c.revision, k.name;
