"""The uses of the store, counted by workers; and lists of artifacts to evict."""

from sqlalchemy import Connection, text

from staging_api.staging.reports import Checks, ContentUse, IdleArtifact, LargeArchive
from staging_api.staging.repository.space_rows import EvictableArtifact


def count_usage(conn: Connection, every_seconds: float) -> bool:
    """Count the uses of the store, unless that was done recently; return whether it was done.

    Reads the names of all blobs once: a million of them in some seconds. `conn` is in a
    transaction.
    """
    if not conn.execute(_TRY_LOCK).scalar_one():
        return False
    if conn.execute(_COUNTED_LATELY, {"every": every_seconds}).scalar_one():
        return False
    conn.execute(_CLEAR_USAGE)
    conn.execute(_COUNT_USAGE)
    conn.execute(_CLEAR_LARGEST)
    conn.execute(_COUNT_LARGEST)
    return True


def usage(conn: Connection) -> list[ContentUse]:
    """Return the last counts, the largest use first."""
    return [ContentUse(*row) for row in conn.execute(_USAGE)]


def largest_archives(conn: Connection) -> list[LargeArchive]:
    """Return the archives with the largest files, as counted last."""
    return [LargeArchive(*row) for row in conn.execute(_LARGEST)]


def idlest(conn: Connection, limit: int) -> list[IdleArtifact]:
    """Return unpinned staged artifacts, the longest unread first."""
    return [IdleArtifact(*row) for row in conn.execute(_IDLEST, {"limit": limit})]


def checks(conn: Connection) -> Checks:
    """Return the findings of the comparisons."""
    return Checks(*conn.execute(_CHECKS).one())


def idle_of(conn: Connection, artifact_ids: list[str]) -> list[EvictableArtifact]:
    """Return those of these artifacts that are staged, in this order."""
    return [EvictableArtifact(*row) for row in conn.execute(_IDLE_OF, {"ids": artifact_ids})]


_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtextextended('staging_api store_usage', 0))")
_COUNTED_LATELY = text("""
    SELECT coalesce(
        max(counted_at) > clock_timestamp() - make_interval(secs => :every), false)
    FROM store_usage
""")
_CLEAR_USAGE = text("DELETE FROM store_usage")
_COUNT_USAGE = text("""
    WITH named AS (
        SELECT f.sha256, count(*) AS files, min(CASE
            WHEN a.pinned_until > clock_timestamp() THEN 1
            -- An artifact that is being staged is in use, but has no time of a read yet.
            WHEN coalesce(a.last_accessed_at, a.staged_at, a.started_at, a.created_at)
                > clock_timestamp() - interval '7 days' THEN 2
            ELSE 3 END) AS rank
        FROM artifact_blobs f JOIN staged_artifacts a ON a.id = f.artifact_id
        WHERE f.sha256 IS NOT NULL GROUP BY f.sha256
    ), pooled AS (
        SELECT blob AS sha256, count(*) AS files FROM package_files
        WHERE blob IS NOT NULL GROUP BY blob
    ), used AS (
        SELECT b.size_bytes, coalesce(n.files, 0) + coalesce(p.files, 0) AS files, CASE
            WHEN p.sha256 IS NOT NULL THEN 'packages'
            WHEN n.rank = 1 THEN 'pinned'
            WHEN n.rank = 2 THEN 'read_lately'
            WHEN n.rank = 3 THEN 'idle'
            ELSE 'unnamed' END AS use
        FROM blobs b
        LEFT JOIN named n ON n.sha256 = b.sha256
        LEFT JOIN pooled p ON p.sha256 = b.sha256
    )
    INSERT INTO store_usage (use, blobs, bytes, files, file_bytes)
    SELECT use, count(*), sum(size_bytes), sum(files), sum(size_bytes * files)
    FROM used GROUP BY use
""")
_CLEAR_LARGEST = text("DELETE FROM store_largest")
_COUNT_LARGEST = text("""
    INSERT INTO store_largest (place, archive_url, artifacts, bytes)
    SELECT row_number() OVER (ORDER BY g.bytes DESC, g.archive_url), g.archive_url, g.artifacts,
        g.bytes
    FROM (
        SELECT a.archive_url, count(*) AS artifacts, sum(s.bytes) AS bytes
        FROM (
            SELECT n.artifact_id, sum(b.size_bytes) AS bytes
            FROM artifact_blobs n JOIN blobs b ON b.sha256 = n.sha256 GROUP BY n.artifact_id
        ) s
        JOIN staged_artifacts a ON a.id = s.artifact_id
        WHERE a.state = 'staged'
        GROUP BY a.archive_url ORDER BY 3 DESC, 1 LIMIT 20
    ) g
""")
_USAGE = text("""
    SELECT use, blobs, bytes, files, file_bytes, counted_at FROM store_usage
    ORDER BY bytes DESC, use
""")
_LARGEST = text("SELECT archive_url, artifacts, bytes FROM store_largest ORDER BY place")
_IDLEST = text("""
    SELECT id, archive_url, name, size_bytes, coalesce(last_accessed_at, staged_at)
    FROM staged_artifacts
    WHERE state = 'staged' AND size_bytes > 0
      AND (pinned_until IS NULL OR pinned_until <= clock_timestamp())
    ORDER BY coalesce(last_accessed_at, staged_at) LIMIT :limit
""")
_CHECKS = text("""
    SELECT count(checked_at), min(checked_at), min(scrubbed_at), coalesce(sum(lost), 0),
        coalesce(sum(strangers), 0)
    FROM store_checks
""")
_IDLE_OF = text("""
    SELECT a.id, a.archive_url, a.lock_kind, a.name, a.size_bytes
    FROM unnest(CAST(:ids AS text[])) WITH ORDINALITY AS c (id, place)
    JOIN staged_artifacts a ON a.id = c.id
    WHERE a.state = 'staged' ORDER BY c.place
""")
