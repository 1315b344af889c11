"""SQL statements on uploads, and on the releases and files that they contain.

Packages are uploaded without a lock, by many clients at the same time. Therefore every insert has
ON CONFLICT DO NOTHING, and the resulting row is read back: equal content is shared, another content
under the same name is refused.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from staging_api.db.engine import plain_connection_of
from staging_api.db.plain_connection import Statements
from staging_api.errors import NotFound
from staging_api.publishing.model import Upload
from staging_api.publishing.rows.mapping import made
from staging_api.publishing.rows.steps import Writes

# Rows are sorted, so that two requests with the same packages cannot deadlock. A trigger skips rows
# that would give a path other bytes than it has, or had when it was published.
_ADD_FILES = text("""
    INSERT INTO package_files (archive_id, path, sha256, size_bytes)
    SELECT :archive_id, f.path, f.sha256, f.size_bytes
    FROM jsonb_to_recordset(cast(:rows AS jsonb)) AS f (path text, sha256 text, size_bytes bigint)
    ORDER BY f.path
    ON CONFLICT DO NOTHING
""")
_ADD_BINARIES = text("SELECT * FROM publisher_add_binaries(:archive_id, cast(:rows AS jsonb))")
_FIND_FILES = text("""
    SELECT f.id, f.path, f.sha256, f.size_bytes FROM package_files f
    WHERE f.archive_id = :archive_id AND f.path = ANY(:paths) AND f.removed_at IS NULL
    ORDER BY f.id FOR KEY SHARE
""")
_LOCK_FILES = text("""
    WITH wanted AS (
        SELECT * FROM jsonb_to_recordset(cast(:rows AS jsonb)) AS w (
            package text, version_key text, architecture text, installer boolean, path text))
    SELECT FROM package_files WHERE id IN (
        SELECT f.id FROM wanted w
        JOIN package_files f ON f.archive_id = :archive_id AND f.path = w.path
            AND f.removed_at IS NULL
        UNION ALL
        SELECT r.file_id FROM wanted w
        JOIN binary_releases r ON r.archive_id = :archive_id AND r.package = w.package
            AND r.version_key = w.version_key AND r.architecture = w.architecture
            AND r.installer = w.installer AND r.removed_at IS NULL
        UNION ALL
        SELECT s.file_id FROM wanted w
        JOIN source_releases r ON r.archive_id = :archive_id AND r.package = w.package
            AND r.version_key = w.version_key AND r.removed_at IS NULL
        JOIN source_release_files s ON s.source_release_id = r.id
        WHERE w.architecture IS NULL)
    ORDER BY id FOR KEY SHARE
""")
_ADD_SOURCE = text("""
    INSERT INTO source_releases (archive_id, package, version, version_key, control)
    VALUES (:archive_id, :package, :version, :version_key, :control)
    ON CONFLICT DO NOTHING RETURNING id
""")
_ADD_SOURCE_FILES = text("""
    INSERT INTO source_release_files (source_release_id, position, file_id)
    SELECT :release_id, f.place - 1, f.id
    FROM unnest(cast(:files AS bigint[])) WITH ORDINALITY AS f (id, place)
""")
_FIND_SOURCE = text("""
    SELECT r.id, r.version, array(
        SELECT regexp_replace(f.path, '^.*/', '') || ' ' || f.sha256
        FROM source_release_files s JOIN package_files f ON f.id = s.file_id
        WHERE s.source_release_id = r.id ORDER BY s.position) AS files
    FROM source_releases r
    WHERE r.archive_id = :archive_id AND r.package = :package AND r.version_key = :version_key
        AND r.removed_at IS NULL
    FOR KEY SHARE OF r
""")
_NOTE = text("UPDATE uploads SET note = concat_ws('; ', note, :note) WHERE id = :id")
_KNOWN = text("""
    SELECT DISTINCT p.package FROM package_publications p JOIN suites s ON s.id = p.suite_id
    WHERE s.archive_id = :archive_id AND p.package = ANY(:packages)
""")
_UPLOADS = """
    SELECT u.*, a.name AS archive, s.name AS suite,
        coalesce(b.package, c.package) AS package, coalesce(b.version, c.version) AS version,
        CASE WHEN b.id IS NOT NULL THEN b.architecture WHEN c.id IS NOT NULL THEN 'source' END
            AS architecture,
        f.sha256
    FROM {uploads} u
    JOIN suites s ON s.id = u.suite_id
    JOIN apt_archives a ON a.id = s.archive_id
    LEFT JOIN binary_releases b ON b.id = u.binary_release_id
    LEFT JOIN source_releases c ON c.id = u.source_release_id
    LEFT JOIN source_release_files d ON d.source_release_id = c.id AND d.position = 0
    LEFT JOIN package_files f ON f.id = coalesce(b.file_id, d.file_id)
"""
_ADD = text("SELECT * FROM publisher_add_uploads(:suite, :caller, :lifted, cast(:rows AS jsonb))")
_LIST = text(
    _UPLOADS.format(uploads="uploads")
    + """
    WHERE a.id = :archive_id AND u.id < :after AND u.state LIKE :state
    ORDER BY u.id DESC LIMIT :limit
"""
)
_FIND = text(_UPLOADS.format(uploads="uploads") + " WHERE u.id = :id")
_DECIDE = text("""
    UPDATE uploads SET state = :state, decided_at = clock_timestamp(), decided_by = :caller,
        error_code = :code, error_message = :reason
    WHERE id = :id AND state = ANY(:before)
""")
_ACCEPTED = text("""
    SELECT u.id FROM uploads u JOIN suites s ON s.id = u.suite_id
    WHERE s.archive_id = :archive_id AND u.state = 'accepted' ORDER BY u.id
""")
_ACCEPT = text("SELECT id, error FROM publisher_accept(:ids)")
_AFTER_ALL = "~"  # sorts after every ULID


def add_files(conn: Connection, archive_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add files at their paths in the pool, except at paths that are taken."""
    conn.execute(_ADD_FILES, {"archive_id": archive_id, "rows": json.dumps(list(rows))})


def lock_files(conn: Connection, archive_id: int, rows: Sequence[Mapping[str, Any]]) -> None:
    """Lock the known files at these paths, and those of these versions, before any release.

    Tidying locks files before releases, too: otherwise both could deadlock.

    Args:
        conn: the transaction that adds releases.
        archive_id: id of the archive.
        rows: as for `pool.files_in_the_way`.
    """
    conn.execute(_LOCK_FILES, {"archive_id": archive_id, "rows": json.dumps(list(rows))})


def files_at(conn: Connection, archive_id: int, paths: Sequence[str]) -> dict[str, Row[Any]]:
    """Return ``id``, ``sha256`` and ``size_bytes`` of the files at these paths of the pool."""
    rows = conn.execute(_FIND_FILES, {"archive_id": archive_id, "paths": list(paths)})
    return {row.path: row for row in rows}


def add_binaries(
    conn: Connection, archive_id: int, rows: Sequence[Mapping[str, Any]]
) -> dict[int, Row[Any]]:
    """Add releases and their files; return the release of each row by its index in `rows`.

    A release has ``id``, ``version``, ``path`` and ``sha256``, in the component where it was first
    sent. If an index is missing, another content has the path of its file; if the sha256 differs
    from the row's, the version exists with another content.
    """
    placed = [{**row, "place": place} for place, row in enumerate(rows)]
    given = {"archive_id": archive_id, "rows": json.dumps(placed)}
    return {row.place: row for row in plain_connection_of(conn).execute(_ADD_BINARIES, given)}


def find_source(
    conn: Connection, archive_id: int, package: str, version_key: str
) -> Row[Any] | None:
    """Return ``id``, ``version`` and ``files`` of a source; each file is "name sha256"."""
    given = {"archive_id": archive_id, "package": package, "version_key": version_key}
    return conn.execute(_FIND_SOURCE, given).one_or_none()


def add_source(
    conn: Connection, archive_id: int, values: Mapping[str, Any], files: Sequence[int]
) -> int | None:
    """Add the release of a source; None: a release of this version was added meanwhile."""
    added = conn.execute(_ADD_SOURCE, {"archive_id": archive_id, **values}).scalar_one_or_none()
    if added is None:
        return None
    conn.execute(_ADD_SOURCE_FILES, {"release_id": added, "files": list(files)})
    return int(added)


def note_upload(conn: Connection, upload_id: str, note: str) -> None:
    """Append a note to an upload."""
    conn.execute(_NOTE, {"id": upload_id, "note": note})


def known_packages(conn: Connection, archive_id: int, packages: Sequence[str]) -> set[str]:
    """Return those of these names that any suite of the archive has, or had."""
    given = {"archive_id": archive_id, "packages": list(packages)}
    return set(conn.execute(_KNOWN, given).scalars())


def add_uploads(
    conn: Connection,
    suite_id: int,
    caller: str,
    rows: Sequence[Mapping[str, Any]],
    lifted: str | None,
) -> list[Upload]:
    """Note uploads, with what was decided of each and what follows of it; gives them, oldest first.

    Args:
        conn: the transaction that adds their releases.
        suite_id: where they go.
        caller: who sent them.
        rows: of the uploads; those that are taken also have ``package``, ``version_key``,
            ``architecture`` (None: it is a source) and ``installer``. A newer version that is
            offered instead of one is noted.
        lifted: lift the hold of the suite, and note this in each that is taken; None: it stays.
    """
    placed = [{**row, "place": place} for place, row in enumerate(rows)]
    given = {"suite": suite_id, "caller": caller, "lifted": lifted, "rows": json.dumps(placed)}
    return [made(Upload, row) for row in plain_connection_of(conn).execute(_ADD, given)]


def find_upload(conn: Connection, upload_id: str) -> Upload:
    """Return an upload.

    Raises:
        NotFound: there is no such upload.
    """
    row = conn.execute(_FIND, {"id": upload_id}).one_or_none()
    if row is None:
        raise NotFound(f"there is no upload {upload_id}")
    return made(Upload, row)


def list_uploads(
    conn: Connection, archive_id: int, *, limit: int, after: str | None, state: str | None
) -> list[Upload]:
    """Return uploads of an archive, newest first."""
    given = {"archive_id": archive_id, "limit": limit, "after": after or _AFTER_ALL}
    return [made(Upload, row) for row in conn.execute(_LIST, {**given, "state": state or "%"})]


def decide(
    conn: Connection, upload_id: str, *, state: str, before: Sequence[str], caller: str, reason: str
) -> bool:
    """Accept or reject an upload; return False if its state is not one of `before`."""
    rejected = state == "rejected"
    given: dict[str, Any] = {"id": upload_id, "state": state, "before": list(before)}
    given |= {"code": "rejected" if rejected else None, "reason": reason if rejected else None}
    given["caller"] = caller
    return conn.execute(_DECIDE, given).rowcount == 1


def accepted_uploads(conn: Statements, archive_id: int) -> list[str]:
    """Return the ids of uploads that wait for process-accepted, oldest first."""
    return list(conn.execute(_ACCEPTED, {"archive_id": archive_id}).scalars())


def accept(conn: Writes, ids: Sequence[str]) -> dict[str, str]:
    """Turn accepted uploads into pending publications; return the error of each that failed."""
    return {row.id: row.error for row in conn.execute(_ACCEPT, {"ids": list(ids)})}
