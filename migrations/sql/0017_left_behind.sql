-- What takes longer than the changes of 0016_settled.sql, which lock out every request.

-- Workers look for what is due caller by caller, what somebody waits for first.
CREATE INDEX stagings_turn_idx ON stagings ((state = 'foreground_staged'), caller, id)
    WHERE finished_at IS NULL;

-- What the versions before left: failures that unfinished stagings have had, and what finished ones
-- left to do.
UPDATE stagings s SET failures = f.failures
FROM (
    SELECT u.id, jsonb_object_agg(a.id,
        staging_failure(a, a.error_code, a.error_message, coalesce(a.error_retryable, false))) AS failures
    FROM stagings u
    JOIN staged_artifacts a ON a.archive_url = u.archive_url AND a.name = ANY (u.requested)
    WHERE u.finished_at IS NULL AND a.state = 'failed'
    GROUP BY u.id
) f
WHERE s.id = f.id;

DO $$
DECLARE
    s stagings;
BEGIN
    FOR s IN
        SELECT * FROM stagings d
        WHERE d.finished_at IS NOT NULL AND d.id IN (
            SELECT a.staging_id FROM staged_artifacts a WHERE a.state IN ('pending', 'staging'))
        ORDER BY d.id
    LOOP
        PERFORM staging_hand_over(s);
    END LOOP;
END $$;
