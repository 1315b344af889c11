"""Lists of archives for people: one row for each, with a summary of its artifacts."""

from sqlalchemy import Connection, text

from staging_api.staging.lists import ArchiveSummary, NewestStaging
from staging_api.staging.repository.terms import LAST


def list_archives(
    conn: Connection, *, prefix: str, limit: int, after: str = ""
) -> list[ArchiveSummary]:
    """Return archives whose URL begins with `prefix`, behind the URL `after`, ordered by bytes."""
    given = {"low": prefix, "high": prefix + LAST, "after": after, "limit": limit}
    return [
        ArchiveSummary(
            row.archive_url,
            row.static_prefix,
            row.created_at,
            row.artifacts or {},
            int(row.size_bytes or 0),
            row.last_accessed_at,
            row.pinned_until,
            NewestStaging(row.id, row.state, row.caller, row.asked_at) if row.id else None,
        )
        for row in conn.execute(_LIST, given)
    ]


def archives_named(conn: Connection, name: str, limit: int) -> list[str]:
    """Return the URLs of archives whose last segment begins with `name`, by that segment."""
    given = {"low": name, "high": name + LAST, "limit": limit}
    return list(conn.execute(_NAMED, given).scalars())


_NAMED = text("""
    SELECT archive_url FROM archives
    WHERE substring(archive_url COLLATE "C", '[^/]*$') >= :low
      AND substring(archive_url COLLATE "C", '[^/]*$') < :high
    ORDER BY substring(archive_url COLLATE "C", '[^/]*$') LIMIT :limit
""")

# A few index probes for each archive of the page, however many archives there are.
_LIST = text("""
    SELECT a.archive_url, a.static_prefix, a.created_at, s.id, s.state, s.caller, s.asked_at,
        t.artifacts, t.size_bytes, t.last_accessed_at, t.pinned_until
    FROM (
        SELECT archive_url, static_prefix, created_at FROM archives
        WHERE archive_url COLLATE "C" >= :low AND archive_url COLLATE "C" < :high
          AND archive_url COLLATE "C" > :after
        ORDER BY archive_url COLLATE "C" LIMIT :limit
    ) a
    LEFT JOIN LATERAL (
        SELECT s.id, s.state, s.caller, s.created_at AS asked_at FROM stagings s
        WHERE s.archive_url = a.archive_url ORDER BY s.id DESC LIMIT 1
    ) s ON true
    LEFT JOIN LATERAL (
        SELECT jsonb_object_agg(g.state, g.count) AS artifacts, sum(g.bytes) AS size_bytes,
            max(g.last_accessed_at) AS last_accessed_at, max(g.pinned_until) AS pinned_until
        FROM (
            SELECT x.state, count(*) AS count, max(x.last_accessed_at) AS last_accessed_at,
                max(x.pinned_until) AS pinned_until,
                sum(x.size_bytes) FILTER (WHERE x.state = 'staged') AS bytes
            FROM staged_artifacts x WHERE x.archive_url = a.archive_url GROUP BY x.state
        ) g
    ) t ON true
    ORDER BY a.archive_url COLLATE "C"
""")
