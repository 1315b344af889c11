-- What was evicted, why, and was it fetched again within a day?
SELECT a.archive_url, a.name, a.size_bytes, a.evicted_at, a.evict_reason,
    (SELECT min(again.staged_at) FROM staged_artifacts again
     WHERE again.archive_url = a.archive_url AND again.name = a.name
       AND again.staged_at BETWEEN a.evicted_at AND a.evicted_at + interval '1 day') AS fetched_again_at
FROM staged_artifacts a
WHERE a.evicted_at >= CAST(:since AS timestamptz) AND a.evicted_at < CAST(:until AS timestamptz)
ORDER BY a.evicted_at;
