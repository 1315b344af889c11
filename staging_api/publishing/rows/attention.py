"""SQL statement on what needs a person in APT archives."""

from sqlalchemy import Connection, text

from staging_api.publishing.model import ArchiveAttention
from staging_api.publishing.rows.mapping import made

# Runs: an attempt is settled by a later success of the same kind, or of an operation that does its
# work as well. Hooks of ``after.d`` run only after a generation went live.
_ATTENTION = text("""
    WITH recent AS (
        SELECT r.id, r.archive_id, r.operation, r.state, r.started_at,
            max(r.id) FILTER (WHERE r.state = 'succeeded')
                OVER (PARTITION BY r.archive_id, r.operation, r.purpose) AS same,
            max(r.id) FILTER (WHERE r.state = 'succeeded' AND r.purpose IS NULL
                    AND r.operation = 'publish-ftpmaster')
                OVER (PARTITION BY r.archive_id) AS whole,
            max(r.id) FILTER (WHERE r.state = 'succeeded' AND r.purpose IS NULL
                    AND r.operation <> 'process-accepted')
                OVER (PARTITION BY r.archive_id) AS published,
            max(r.id) FILTER (WHERE r.state = 'succeeded' AND r.operation = 'publish-ftpmaster'
                    AND r.counts ? 'generations')
                OVER (PARTITION BY r.archive_id) AS with_hooks
        FROM publisher_runs r
        WHERE r.id >= ulid_floor(now() - make_interval(secs => :run_seconds)) COLLATE "C"
    ), unsettled AS (
        SELECT archive_id, id, started_at FROM recent
        WHERE state IN ('failed', 'abandoned') AND id > greatest('', same, whole,
                CASE WHEN operation <> 'process-accepted' THEN published END)
            OR state = 'published_hook_failed' AND id > coalesce(with_hooks, '')
    ), items AS (
        SELECT archive_id, 'run' AS kind, count(*) AS count, min(started_at) AS since,
            max(id) AS run_id
        FROM unsettled GROUP BY archive_id
        UNION ALL
        SELECT s.archive_id, 'decision', count(*), min(u.created_at), NULL
        FROM uploads u JOIN suites s ON s.id = u.suite_id
        WHERE u.state IN ('new', 'unapproved') GROUP BY s.archive_id
        UNION ALL
        SELECT w.archive_id, 'unpublished', count(*), min(w.since), NULL
        FROM (
            SELECT s.archive_id, coalesce(u.decided_at, u.created_at) AS since
            FROM uploads u JOIN suites s ON s.id = u.suite_id WHERE u.state = 'accepted'
            UNION ALL
            SELECT s.archive_id, p.created_at
            FROM package_publications p JOIN suites s ON s.id = p.suite_id
            WHERE p.state = 'pending') w
        WHERE w.since < now() - make_interval(secs => :unpublished_seconds)
        GROUP BY w.archive_id
        UNION ALL
        SELECT s.archive_id, 'validity', count(*), NULL, NULL
        FROM release_files r JOIN suites s ON s.id = r.suite_id
        WHERE r.gone_number IS NULL AND r.name = 'Release'
            AND r.valid_until < now() + (r.valid_until - r.dated_at) / 4
        GROUP BY s.archive_id
    )
    SELECT a.name AS archive, m.kind, m.count, m.since, m.run_id
    FROM items m JOIN apt_archives a ON a.id = m.archive_id
    ORDER BY a.name, m.kind
""")


def archives_needing_attention(
    conn: Connection, *, run_seconds: float, unpublished_seconds: float
) -> list[ArchiveAttention]:
    """Return what needs a person, by archive.

    Args:
        conn: the connection.
        run_seconds: age of the oldest run to examine.
        unpublished_seconds: time after which an accepted package should be published.
    """
    given = {"run_seconds": run_seconds, "unpublished_seconds": unpublished_seconds}
    return [made(ArchiveAttention, row) for row in conn.execute(_ATTENTION, given)]
