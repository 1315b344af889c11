-- Who put this document in, and who changed it?
SELECT r.number AS revision, r.kind, r.created_at, r.caller, r.reference_id, r.reason,
    k.name AS collection, b.layer, b.storage_policy,
    CASE WHEN b.sealed IS NULL
         THEN CAST(b.body AS text) IS DISTINCT FROM lag(CAST(b.body AS text)) OVER (ORDER BY r.number)
    END AS differs,
    first_commit.caller AS committed_by, first_commit.created_at AS committed_at,
    v.until_revision AS gone_in
FROM document_bodies b
JOIN document_collection_versions v ON v.content_id = b.content_id
JOIN document_collections k ON k.id = v.collection_id
JOIN document_revisions r ON r.number = v.first_revision
LEFT JOIN LATERAL (
    SELECT c.caller, c.created_at FROM document_commits c
    WHERE c.revision >= v.first_revision AND coalesce(c.revision < v.until_revision, true)
    ORDER BY c.revision LIMIT 1
) first_commit ON true
WHERE b.schema = :schema AND b.name = :name
ORDER BY r.number;
