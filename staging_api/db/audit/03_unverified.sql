-- Which served bytes were never verified against the source?
SELECT split_part(source_url, '://', 1) AS scheme, name, count(*) AS artifacts,
    sum(size_bytes) AS bytes, min(staged_at) AS oldest, max(staged_at) AS newest
FROM staged_artifacts
WHERE state = 'staged' AND verified_by IS NULL
GROUP BY 1, 2 ORDER BY bytes DESC;
