"""The rows of packs and of the files in them.

A pack is dropped by changing one row, however many files it has: from then on its blob has no name,
and the rows of its files are deleted in batches. No query reads these rows: the artifact was
evicted, or it is not staged yet. The row of the pack is deleted last. So each deletion of a batch
locks that row first, and a later attempt at the same artifact never loses rows of its own.
"""

from collections.abc import Iterable

from sqlalchemy import Connection, text

from staging_api.db.engine import copy_rows
from staging_api.staging.fetched import PackedRow
from staging_api.store.blobs import Blob

_ESCAPED = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})


def insert_pack(conn: Connection, artifact_id: str, pack: Blob, first: str, last: str) -> None:
    """Record the pack of an artifact, which has none; its blob is named in this transaction.

    Args:
        first, last: the first and the last path of its files, in bytewise order.
    """
    given = {"id": artifact_id, "sha256": pack.sha256, "bytes": pack.size_bytes}
    conn.execute(_ADD_PACK, {**given, "first": first, "last": last})


def add_packed_files(conn: Connection, artifact_id: str, files: Iterable[PackedRow]) -> None:
    """Add files of the pack of an artifact that is not ``staged`` yet."""
    copy_rows(conn, _COPY, "".join(_line(artifact_id, file) for file in files))


def drop_pack(conn: Connection, artifact_id: str) -> str | None:
    """Drop the pack of an artifact; return its digest, or None if it has none.

    The caller marks the blob for deletion. `forget_packed` deletes the rows of its files.
    """
    return conn.execute(_DROP, {"id": artifact_id}).scalar_one_or_none()


def dropped_packs(conn: Connection, limit: int) -> list[str]:
    """Return some artifacts with a dropped pack that still have rows of its files."""
    return list(conn.execute(_DROPPED, {"limit": limit}).scalars())


def forget_packed(
    conn: Connection, artifact_id: str, limit: int, start: str = ""
) -> tuple[int, str | None]:
    """Delete some of the rows of a dropped pack.

    If two transactions do this for one artifact, the second waits for the first.

    Args:
        limit: number of rows.
        start: there are no rows before this path.

    Returns:
        How many were deleted, and the path at which the next ones begin; None: no row is left.
    """
    bounds = conn.execute(_LOCK_DROPPED, {"id": artifact_id}).one_or_none()
    if bounds is None:
        return 0, None
    first = max(start, bounds.first_path)
    given = {"id": artifact_id, "first": first, "last": bounds.last_path, "limit": limit}
    count, behind = conn.execute(_FORGET, given).one()
    if count == limit:
        return count, behind
    conn.execute(_FORGET_PACK, {"id": artifact_id})
    return count, None


def _line(artifact_id: str, file: PackedRow) -> str:
    path, sha256, size, offset, executable = file
    # In the format of COPY; control characters are in no name, and would be harmless in one.
    if "\\" in path or not path.isprintable():
        path = path.translate(_ESCAPED)
    mark = "t" if executable else "f"
    return f"{offset}\t{size}\t{artifact_id}\t{path}\t\\\\x{sha256.hex()}\t{mark}\n"


_ADD_PACK = text("""
    INSERT INTO packs (artifact_id, sha256, size_bytes, first_path, last_path)
    VALUES (:id, :sha256, :bytes, :first, :last)
""")

_COPY = (
    "COPY packed_files (pack_offset, size_bytes, artifact_id, path, sha256, executable) FROM STDIN"
)

# The digest is read before it is set to NULL: RETURNING has only new values before PostgreSQL 18.
_DROP = text("""
    WITH old AS (
        SELECT artifact_id, sha256 FROM packs
        WHERE artifact_id = :id AND sha256 IS NOT NULL FOR UPDATE)
    UPDATE packs p SET sha256 = NULL FROM old WHERE p.artifact_id = old.artifact_id
    RETURNING old.sha256
""")

_DROPPED = text("SELECT artifact_id FROM packs WHERE sha256 IS NULL LIMIT :limit")

_LOCK_DROPPED = text("""
    SELECT first_path, last_path FROM packs
    WHERE artifact_id = :id AND sha256 IS NULL FOR UPDATE
""")

# By ctid, as DELETE has no LIMIT: the rows are found once, by the index, and deleted in place.
_FORGET = text("""
    WITH gone AS (
        DELETE FROM packed_files WHERE ctid = ANY (ARRAY(
            SELECT ctid FROM packed_files
            WHERE artifact_id = :id
              AND path COLLATE "C" >= :first AND path COLLATE "C" <= :last
            ORDER BY path COLLATE "C" LIMIT :limit))
        RETURNING path)
    SELECT count(*), max(path COLLATE "C") FROM gone
""")

_FORGET_PACK = text("DELETE FROM packs WHERE artifact_id = :id AND sha256 IS NULL")
