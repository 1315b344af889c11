-- Who first staged this file, from which URL, generation and digest?
SELECT e.at, e.actor, e.holder, e.detail ->> 'source_url' AS source_url,
    e.detail ->> 'source_version' AS source_version, e.detail ->> 'sha256' AS source_sha256,
    f.sha256 AS file_sha256
FROM staged_files f
JOIN staged_artifacts now ON now.id = f.artifact_id
JOIN staged_artifacts ever ON ever.archive_url = now.archive_url AND ever.name = now.name
JOIN staging_events e ON e.artifact_id = ever.id AND e.kind = 'artifact' AND e.to_state = 'staged'
WHERE f.path COLLATE "C" = :path
ORDER BY e.at LIMIT 1;
