-- How long, at the median and at p99, did uploads, the queue and the transfer take, by bucket and day?
SELECT split_part(a.archive_url, '/', 3) AS bucket, CAST(a.staged_at AS date) AS day, count(*) AS artifacts,
    percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
        ORDER BY extract(epoch FROM s.upload_wait_ended_at - s.upload_wait_began_at)) AS upload_seconds,
    percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
        ORDER BY extract(epoch FROM a.started_at - a.created_at)) AS queue_seconds,
    percentile_cont(ARRAY[0.5, 0.99]) WITHIN GROUP (
        ORDER BY extract(epoch FROM a.staged_at - a.started_at)) AS transfer_seconds
FROM staged_artifacts a
JOIN stagings s ON s.id = a.staging_id
WHERE a.staged_at >= CAST(:since AS timestamptz) AND a.staged_at < CAST(:until AS timestamptz)
GROUP BY 1, 2 ORDER BY 1, 2;
