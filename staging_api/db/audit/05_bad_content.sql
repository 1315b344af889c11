-- Which builds used a content now known to be bad, and who read it?
WITH users AS (
    SELECT f.artifact_id, f.path FROM staged_files f WHERE f.sha256 = :sha256
    UNION
    SELECT a.id, a.path FROM staged_artifacts a WHERE a.sha256 = :sha256
)
SELECT a.archive_url, a.name, a.state, u.path, r.caller, r.day, r.hits
FROM users u
JOIN staged_artifacts a ON a.id = u.artifact_id
LEFT JOIN artifact_accesses r ON r.artifact_id = u.artifact_id
ORDER BY a.archive_url, u.path, r.day, r.caller;
