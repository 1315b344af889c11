"""SQL statements that find and remove files that may leave the pool.

Every function takes a connection on which `locks.store.guard` has been called in the same
transaction; only `files_in_the_way` and `remove_given_up` need no lock, because they concern files
that no client ever saw.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from staging_api.db.plain_connection import Statements
from staging_api.staging.repository.store_rows import mark_unnamed_for_deletion

_REMOVE_PUBLICATIONS = text("""
    UPDATE package_publications SET removed_at = clock_timestamp()
    WHERE id IN (SELECT publisher_removable(:archive_id))
""")
_UNUSED = """
    r.archive_id = :archive_id AND r.removed_at IS NULL
    AND r.created_at + make_interval(secs => :quarantine) < clock_timestamp()
    AND NOT EXISTS (
        SELECT FROM package_publications p WHERE p.{release}_id = r.id AND p.removed_at IS NULL)
    AND NOT EXISTS (
        SELECT FROM uploads u
        WHERE u.{release}_id = r.id AND u.state IN ('new', 'unapproved', 'accepted'))
"""
_STATEMENTS = [
    (
        # First lock the rows, because an upload of the same package may hold them; then check
        # again, to see what that upload wrote.
        text(
            f"SELECT r.id FROM {release}s r WHERE {_UNUSED.format(release=release)}"  # noqa: S608
            " ORDER BY r.id FOR UPDATE"
        ),
        text(
            f"UPDATE {release}s r SET removed_at = clock_timestamp()"  # noqa: S608
            f" WHERE r.id = ANY(:ids) AND {_UNUSED.format(release=release)}"
        ),
    )
    for release in ("binary_release", "source_release")
]
_NO_RELEASE = """
    f.removed_at IS NULL
    AND NOT EXISTS (
        SELECT FROM binary_releases b WHERE b.file_id = f.id AND b.removed_at IS NULL)
    AND NOT EXISTS (
        SELECT FROM source_release_files s JOIN source_releases r ON r.id = s.source_release_id
        WHERE s.file_id = f.id AND r.removed_at IS NULL)
"""
_UNUSED_FILES = f"""
    f.archive_id = :archive_id AND {_NO_RELEASE}
    AND f.created_at + make_interval(secs => :quarantine) < clock_timestamp()
"""
# Files that may leave now, and files that may leave once their release has been removed.
_LEAVING = text(f"""
    SELECT r.file_id FROM binary_releases r WHERE {_UNUSED.format(release="binary_release")}
    UNION
    SELECT n.file_id
    FROM source_release_files n JOIN source_releases r ON r.id = n.source_release_id
    WHERE {_UNUSED.format(release="source_release")}
    UNION
    SELECT f.id FROM package_files f WHERE {_UNUSED_FILES}
""")  # noqa: S608 - our own words
_REMOVE_FILES = text(
    "UPDATE package_files f SET removed_at = clock_timestamp()"  # noqa: S608
    f" WHERE f.id = ANY(:ids) AND {_UNUSED_FILES} RETURNING f.sha256"
)
_IN_THE_WAY = text("SELECT publisher_files_in_the_way(:archive_id, cast(:rows AS jsonb))")
# Rejected, or deleted before it was published; and not in an upload that waits for a decision or a
# run.
_GIVEN_UP = """
    r.removed_at IS NULL
    AND NOT EXISTS (
        SELECT FROM package_publications p
        WHERE p.{release}_id = r.id AND (p.published_at IS NOT NULL OR p.ended_at IS NULL))
    AND NOT EXISTS (
        SELECT FROM uploads u
        WHERE u.{release}_id = r.id AND u.state IN ('new', 'unapproved', 'accepted'))
"""
_OF_FILES = {
    "binary_release": "r.file_id = ANY(:files)",
    "source_release": """r.id IN (
        SELECT s.source_release_id FROM source_release_files s WHERE s.file_id = ANY(:files))""",
}
_GIVE_UP = [
    (
        text(f"SELECT r.id FROM {release}s r WHERE {files} ORDER BY r.id FOR UPDATE"),  # noqa: S608
        text(
            f"UPDATE {release}s r SET removed_at = clock_timestamp()"  # noqa: S608
            f" WHERE r.id = ANY(:ids) AND {_GIVEN_UP.format(release=release)}"
        ),
    )
    for release, files in _OF_FILES.items()
]
# Every transaction locks contents, then files, then releases, each in a fixed order: otherwise an
# upload and the tidying could deadlock.
_LOCK_CONTENTS = text("""
    SELECT FROM blobs WHERE sha256 IN (SELECT blob FROM package_files WHERE id = ANY(:files))
    ORDER BY sha256 FOR UPDATE
""")
_LOCK_THESE = text("SELECT FROM package_files WHERE id = ANY(:files) ORDER BY id FOR UPDATE")
_REMOVE_THESE = text(
    "UPDATE package_files f SET removed_at = clock_timestamp()"  # noqa: S608
    f" WHERE f.id = ANY(:files) AND {_NO_RELEASE} RETURNING f.sha256"
)


def files_in_the_way(
    conn: Statements, archive_id: int, rows: Sequence[Mapping[str, Any]]
) -> list[int]:
    """Return files with other bytes at these paths, or of these versions.

    Args:
        conn: a connection.
        archive_id: id of the archive.
        rows: ``path`` and ``sha256`` of each file; for a .deb, .udeb or .dsc also ``package`` and
            ``version_key``; for a .deb or .udeb also ``architecture`` and ``installer``.
    """
    given = {"archive_id": archive_id, "rows": json.dumps(list(rows))}
    return list(conn.execute(_IN_THE_WAY, given).scalars())


def remove_given_up(conn: Connection, files: Sequence[int]) -> None:
    """Remove those of these files from the pool that were given up before a client saw them."""
    given = {"files": list(files)}
    conn.execute(_LOCK_CONTENTS, given)
    conn.execute(_LOCK_THESE, given)
    for lock, remove in _GIVE_UP:
        if ids := list(conn.execute(lock, given).scalars()):
            conn.execute(remove, {"ids": ids})
    mark_unnamed_for_deletion(conn, set(conn.execute(_REMOVE_THESE, given).scalars()))


def remove_condemned(conn: Connection, archive_id: int) -> int:
    """Mark publications with an expired quarantine as removed; return their number."""
    return conn.execute(_REMOVE_PUBLICATIONS, {"archive_id": archive_id}).rowcount


def remove_unused_files(conn: Connection, archive_id: int, quarantine_seconds: float) -> int:
    """Remove files from the pool that no package needs any more; return their number."""
    given = {"archive_id": archive_id, "quarantine": quarantine_seconds}
    files = list(conn.execute(_LEAVING, given).scalars())
    if not files:
        return 0
    conn.execute(_LOCK_CONTENTS, {"files": files})
    conn.execute(_LOCK_THESE, {"files": files})
    for lock, remove in _STATEMENTS:
        if ids := list(conn.execute(lock, given).scalars()):
            conn.execute(remove, {**given, "ids": ids})
    removed = list(conn.execute(_REMOVE_FILES, {**given, "ids": files}).scalars())
    mark_unnamed_for_deletion(conn, set(removed))
    return len(removed)
