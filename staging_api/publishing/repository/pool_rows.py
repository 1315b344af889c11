"""What may leave the pool, and that it has.

Every function takes a connection that has passed `locks.store.guard` in the same transaction.
"""

from sqlalchemy import Connection, text

from staging_api.staging.repository import doom_unnamed

#: Which publication `p` in suite `s` may leave: its time is over, and no kept generation lists it:
#: one that is live, or retired and not yet reaped. Somebody may still download what an old index
#: names.
REMOVABLE = """
    s.id = p.suite_id AND s.archive_id = :archive_id
    AND p.scheduled_deletion_at <= clock_timestamp() AND p.removed_at IS NULL
    AND p.unlisted_since IS NULL
    AND NOT EXISTS (
        SELECT FROM dists_generations g
        LEFT JOIN generation_holds h ON h.generation_id = g.id AND h.suite_id = s.id
        WHERE g.archive_id = :archive_id AND g.state IN ('live', 'retired')
            AND coalesce(h.content_number, g.content_number) >= p.listed_in
            AND coalesce(h.content_number, g.content_number) < p.delisted_in)
"""
_REMOVE_PUBLICATIONS = text(
    "UPDATE package_publications p SET removed_at = clock_timestamp()"  # noqa: S608
    f" FROM suites s WHERE {REMOVABLE}"
)
_UNUSED = """
    r.archive_id = :archive_id AND r.removed_at IS NULL
    AND r.created_at + make_interval(secs => :quarantine) < clock_timestamp()
    AND NOT EXISTS (
        SELECT FROM package_publications p WHERE p.{release}_id = r.id AND p.removed_at IS NULL)
    AND NOT EXISTS (
        SELECT FROM uploads u
        WHERE u.{release}_id = r.id AND u.state IN ('new', 'unapproved', 'accepted'))
"""
_STATEMENTS = {
    release: (
        # First the row lock, for which an upload of the same package waits or is waited for; then
        # a look that sees what it wrote.
        text(f"SELECT r.id FROM {release}s r WHERE {_UNUSED.format(release=release)} FOR UPDATE"),  # noqa: S608
        text(
            f"UPDATE {release}s r SET removed_at = clock_timestamp()"  # noqa: S608
            f" WHERE r.id = ANY(:ids) AND {_UNUSED.format(release=release)}"
        ),
    )
    for release in ("binary_release", "source_release")
}
_UNUSED_FILES = """
    f.archive_id = :archive_id AND f.removed_at IS NULL
    AND f.created_at + make_interval(secs => :quarantine) < clock_timestamp()
    AND NOT EXISTS (
        SELECT FROM binary_releases b WHERE b.file_id = f.id AND b.removed_at IS NULL)
    AND NOT EXISTS (
        SELECT FROM source_release_files s JOIN source_releases r ON r.id = s.source_release_id
        WHERE s.file_id = f.id AND r.removed_at IS NULL)
"""
# Contents before files, as an upload takes them.
_LOCK_FILES = text(
    "SELECT f.id FROM package_files f JOIN blobs b ON b.sha256 = f.blob"  # noqa: S608
    f" WHERE {_UNUSED_FILES} ORDER BY b.sha256 FOR UPDATE OF b, f"
)
_REMOVE_FILES = text(
    "UPDATE package_files f SET removed_at = clock_timestamp()"  # noqa: S608
    f" WHERE f.id = ANY(:ids) AND {_UNUSED_FILES} RETURNING f.sha256"
)


def remove_condemned(conn: Connection, archive_id: int) -> int:
    """Say which publications are over for good; gives how many."""
    return conn.execute(_REMOVE_PUBLICATIONS, {"archive_id": archive_id}).rowcount


def remove_unused_files(conn: Connection, archive_id: int, quarantine_seconds: float) -> int:
    """Take files out of the pool that nothing published, or waiting to be, has; gives how many."""
    given = {"archive_id": archive_id, "quarantine": quarantine_seconds}
    for lock, remove in _STATEMENTS.values():
        if ids := list(conn.execute(lock, given).scalars()):
            conn.execute(remove, {**given, "ids": ids})
    ids = list(conn.execute(_LOCK_FILES, given).scalars())
    removed = list(conn.execute(_REMOVE_FILES, {**given, "ids": ids}).scalars()) if ids else []
    doom_unnamed(conn, set(removed))
    return len(removed)
