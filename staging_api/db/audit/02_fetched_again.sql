-- Was any object fetched once more, in the same generation?
SELECT a.source_url, a.source_version, a.name, same.fetches, max(a.staged_at) AS newest
FROM staged_artifacts a
CROSS JOIN LATERAL (
    SELECT count(*) AS fetches FROM staged_artifacts f
    WHERE f.source_url = a.source_url AND f.source_version = a.source_version AND f.name = a.name
      AND f.staged_at IS NOT NULL AND f.held_by IS NULL
) same
WHERE a.staged_at >= CAST(:since AS timestamptz) AND a.staged_at < CAST(:until AS timestamptz)
  AND a.held_by IS NULL AND same.fetches > 1
GROUP BY a.source_url, a.source_version, a.name, same.fetches
ORDER BY same.fetches DESC LIMIT 100;
