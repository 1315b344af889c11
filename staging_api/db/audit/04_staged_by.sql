-- What did one caller stage in a month, with bytes?
SELECT s.id, s.created_at, s.reference_id, s.archive_url, a.name, a.state, a.size_bytes, a.bytes_done
FROM stagings s
JOIN staged_artifacts a ON a.staging_id = s.id
WHERE s.caller = :caller
  AND s.id >= ulid_floor(CAST(:since AS timestamptz)) AND s.id < ulid_floor(CAST(:until AS timestamptz))
ORDER BY s.id, a.name;
