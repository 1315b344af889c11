-- Is the chain of events unbroken between two dates, and the disk equal to the tables?
WITH links AS (
    SELECT e.number, e.previous_digest, e.digest = staging_event_digest(e) AS true_digest,
        lag(e.digest) OVER chain AS before, lag(e.number) OVER chain AS number_before
    FROM staging_events e
    WHERE e.staging_id >= ulid_floor(CAST(:since AS timestamptz))
      AND e.staging_id < ulid_floor(CAST(:until AS timestamptz))
    WINDOW chain AS (PARTITION BY e.staging_id ORDER BY e.number)
), newest AS (
    SELECT count(*) AS broken FROM stagings s
    WHERE s.id >= ulid_floor(CAST(:since AS timestamptz)) AND s.id < ulid_floor(CAST(:until AS timestamptz))
      AND s.events_count > s.events_dropped
      AND NOT EXISTS (
        SELECT FROM staging_events e
        WHERE e.staging_id = s.id AND e.number = s.events_count AND e.digest = s.events_digest)
)
SELECT count(*) AS events,
    count(*) FILTER (
        WHERE NOT true_digest
           OR before IS NOT NULL AND (previous_digest <> before OR number <> number_before + 1)) AS broken_links,
    (SELECT broken FROM newest) AS stagings_cut_off,
    (SELECT sum(lost + strangers) FROM store_checks) AS disk_differences,
    (SELECT min(checked_at) FROM store_checks) AS oldest_check
FROM links;
