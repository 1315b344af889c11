"""SQL statements on packages in suites: pending, published, superseded or deleted, then removed.

Every function that writes takes a connection on which `locks.store.guard` has been called in the
same transaction; only `delete_package_publication` needs no lock.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from staging_api.db.plain_connection import Statements
from staging_api.publishing.index_model import Package, Unlisted
from staging_api.publishing.model import PackagePublication
from staging_api.publishing.rows.mapping import made
from staging_api.publishing.rows.steps import Writes

_TO_PUBLISH = text("SELECT * FROM publisher_files_to_publish(:suites, :published_too)")
_PUBLISH = text("SELECT publisher_publish(:ids)")
_HOLD_BACK = text("""
    UPDATE package_publications SET error_message = :reason
    WHERE id = ANY(:ids) AND state = 'pending'
""")
# A package that was never published is in no index, so no index has to change.
_DELETE = text("""
    UPDATE package_publications p
    SET state = 'deleted', deleted_by = :caller, reason = :reason, ended_at = clock_timestamp(),
        unlisted_since = CASE WHEN p.state = 'published' THEN clock_timestamp() END,
        error_message = NULL
    FROM suites s
    WHERE p.id = :id AND s.id = p.suite_id AND s.archive_id = :archive_id AND NOT s.immutable
        AND p.ended_at IS NULL
    RETURNING p.suite_id
""")
_UNLISTED = text("SELECT * FROM publisher_unlisted(:suites)")
_LISTED_BINARIES = text("""
    SELECT p.source_release_id, b.control, f.path, f.size_bytes, f.sha256
    FROM package_publications p
    JOIN binary_releases b ON b.id = p.binary_release_id
    JOIN package_files f ON f.id = b.file_id
    WHERE p.suite_id = :suite AND p.state = 'published' AND p.component = :component
        AND b.architecture IN (:architecture, 'all') AND b.installer = :installer
""")
# Position 0 is the .dsc.
_LISTED_SOURCES = text("""
    SELECT p.source_release_id, s.control, f.path, f.size_bytes, f.sha256
    FROM package_publications p JOIN source_releases s ON s.id = p.source_release_id
    JOIN source_release_files d ON d.source_release_id = s.id AND d.position = 0
    JOIN package_files f ON f.id = d.file_id
    WHERE p.suite_id = :suite AND p.state = 'published' AND p.component = :component
""")
_SOURCE_FILES = text("""
    SELECT s.source_release_id AS id, f.path, f.size_bytes, f.sha256
    FROM source_release_files s JOIN package_files f ON f.id = s.file_id
    WHERE s.source_release_id = ANY(:ids) ORDER BY s.source_release_id, s.position
""")
_HAS_INSTALLER = text("""
    SELECT EXISTS (
        SELECT FROM binary_releases b
        JOIN package_publications p ON p.binary_release_id = b.id
        WHERE b.installer AND p.suite_id = :suite AND p.state = 'published')
""")
_ANALYZE = text("ANALYZE uploads, package_files, binary_releases, package_publications")
_LIST = text("""
    SELECT p.*, s.name AS suite, coalesce(b.version, c.version) AS version,
        coalesce(b.architecture, 'source') AS architecture, f.path, f.sha256, f.size_bytes,
        EXISTS (
            SELECT FROM dists_generations g
            LEFT JOIN generation_holds h ON h.generation_id = g.id AND h.suite_id = s.id
            WHERE g.archive_id = s.archive_id AND g.state = 'live'
                AND coalesce(h.content_number, g.content_number) >= p.listed_in
                AND (p.delisted_in IS NULL
                    OR coalesce(h.content_number, g.content_number) < p.delisted_in)) AS listed
    FROM package_publications p
    JOIN suites s ON s.id = p.suite_id
    LEFT JOIN binary_releases b ON b.id = p.binary_release_id
    LEFT JOIN source_releases c ON c.id = p.source_release_id
    LEFT JOIN source_release_files d ON d.source_release_id = c.id AND d.position = 0
    JOIN package_files f ON f.id = coalesce(b.file_id, d.file_id)
    WHERE s.archive_id = :archive_id AND p.id > :after
        AND (cast(:suite AS text) IS NULL OR s.name = :suite)
        AND (cast(:state AS text) IS NULL OR p.state = :state)
        AND (cast(:package AS text) IS NULL OR p.package = :package)
        AND (cast(:id AS bigint) IS NULL OR p.id = :id)
    ORDER BY p.id LIMIT :limit
""")


def files_to_publish(
    conn: Statements, suite_ids: Sequence[int], *, published_too: bool
) -> list[Row[Any]]:
    """Return ``id``, ``sha256``, ``size_bytes``, ``path`` of each file that is to be published."""
    given = {"suites": list(suite_ids), "published_too": published_too}
    return list(conn.execute(_TO_PUBLISH, given))


def publish(conn: Writes, ids: Sequence[int]) -> int:
    """Make pending publications published, and their suites dirty; return their number."""
    return int(conn.execute(_PUBLISH, {"ids": list(ids)}).scalar_one())


def hold_back(conn: Writes, ids: Sequence[int], reason: str) -> None:
    """Record why these publications are still pending."""
    conn.execute(_HOLD_BACK, {"ids": list(ids), "reason": reason})


def delete_package_publication(
    conn: Connection, archive_id: int, publication_id: int, caller: str, reason: str
) -> int | None:
    """Delete a package from its suite; return the suite, None if there is nothing to delete."""
    given = {"archive_id": archive_id, "id": publication_id, "caller": caller, "reason": reason}
    return conn.execute(_DELETE, given).scalar_one_or_none()


def unlisted(conn: Statements, suite_ids: Sequence[int]) -> list[Unlisted]:
    """Return the packages whose current state the index files of these suites do not show."""
    rows = conn.execute(_UNLISTED, {"suites": list(suite_ids)})
    return [made(Unlisted, row) for row in rows]


def listed_binaries(
    conn: Statements, suite_id: int, component: str, architecture: str, *, installer: bool
) -> list[Package]:
    """Return all packages of one Packages file."""
    given = {"suite": suite_id, "component": component, "architecture": architecture}
    rows = conn.execute(_LISTED_BINARIES, {**given, "installer": installer})
    return [made(Package, row) for row in rows]


def listed_sources(conn: Statements, suite_id: int, component: str) -> list[Package]:
    """Return all sources of one Sources file."""
    rows = conn.execute(_LISTED_SOURCES, {"suite": suite_id, "component": component})
    return [made(Package, row) for row in rows]


def source_files_of(conn: Statements, ids: Iterable[int]) -> dict[int, list[Row[Any]]]:
    """Return the files of source releases, each .dsc first."""
    found: dict[int, list[Row[Any]]] = {}
    wanted = list(ids)
    for row in conn.execute(_SOURCE_FILES, {"ids": wanted}) if wanted else ():
        found.setdefault(row.id, []).append(row)
    return found


def has_installer(conn: Statements, suite_id: int) -> bool:
    """Return whether a suite has packages for the installer."""
    return bool(conn.execute(_HAS_INSTALLER, {"suite": suite_id}).scalar_one())


def renew_statistics(conn: Connection) -> None:
    """Update the planner's statistics on packages, and on how many of them are unlisted."""
    conn.execute(_ANALYZE)


def list_package_publications(
    conn: Connection,
    archive_id: int,
    *,
    limit: int,
    after: int = 0,
    suite: str | None = None,
    state: str | None = None,
    package: str | None = None,
    publication_id: int | None = None,
) -> list[PackagePublication]:
    """Return packages of an archive, oldest first."""
    given = {"archive_id": archive_id, "limit": limit, "after": after, "suite": suite}
    given |= {"state": state, "package": package, "id": publication_id}
    return [made(PackagePublication, row) for row in conn.execute(_LIST, given)]
