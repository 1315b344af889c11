-- Which leases ran out, on which replica, and how long until another took over?
SELECT l.holder, l.kind, l.scope, l.expires_at, l.outcome, n.holder AS next_holder,
    n.acquired_at - l.expires_at AS taken_over_after
FROM api_locks l
LEFT JOIN LATERAL (
    SELECT holder, acquired_at FROM api_locks n
    WHERE n.scope = l.scope AND n.kind = l.kind AND n.fence > l.fence
    ORDER BY n.fence LIMIT 1
) n ON true
WHERE l.outcome IN ('expired', 'superseded')
  AND l.expires_at >= CAST(:since AS timestamptz) AND l.expires_at < CAST(:until AS timestamptz)
ORDER BY l.expires_at, l.id;
