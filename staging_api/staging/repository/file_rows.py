"""Write the rows of an artifact's files, loose and packed."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection, text

from staging_api.db.tables import loose_files
from staging_api.staging.fetched import FileRow
from staging_api.staging.repository.pack_rows import drop_pack, forget_packed, insert_pack
from staging_api.staging.repository.store_rows import mark_unnamed_for_deletion, name_blobs
from staging_api.store.blobs import Blob

_OF_FILE: Final = ("path", "sha256", "size_bytes", "executable")


#: Number of rows of a pack that are deleted in the transaction that drops it.
_FEW_FILES = 1000


def add_files(conn: Connection, artifact_id: str, files: Sequence[FileRow]) -> set[str]:
    """Add files to an artifact that is not ``staged`` yet: until then no query reads them.

    Args:
        files: files whose bytes are durably in the store.

    Returns:
        contents that the tables did not list as stored: then only their names were recorded. The
        caller commits, looks for them in the store while no transaction is open, and calls again.

    Raises:
        Unavailable: one of the contents is being removed.
    """
    unsure = name_blobs(conn, {file["sha256"]: file["size_bytes"] for file in files})
    if files and not unsure:
        columns = {name: [file[name] for file in files] for name in _OF_FILE}
        conn.execute(_ADD_FILES, {"artifact_id": artifact_id, **columns})
    return unsure


def forget_some_files(conn: Connection, artifact_id: str, limit: int) -> bool:
    """Drop the pack that an attempt left; delete some of its loose files.

    `forget_packed` deletes the files of the pack.

    Returns:
        Whether there may be more loose files.
    """
    given = {"artifact_id": artifact_id, "limit": limit}
    digests = conn.execute(_FORGET_SOME, given).scalars().all()
    pack = drop_pack(conn, artifact_id)
    gone = {*digests} if pack is None else {*digests, pack}
    if gone:
        mark_unnamed_for_deletion(conn, gone)
    return len(digests) == limit


def add_pack(conn: Connection, artifact_id: str, pack: Blob, paths: tuple[str, str]) -> set[str]:
    """Record the pack of an artifact that is not ``staged`` yet, before the files in it.

    Args:
        pack: pack whose bytes are durably in the store.
        paths: the first and the last path of its files, in bytewise order.

    Returns:
        the pack, if the tables did not list it as stored: see `add_files`.

    Raises:
        Unavailable: it is being removed.
    """
    unsure = name_blobs(conn, {pack.sha256: pack.size_bytes})
    if not unsure:
        insert_pack(conn, artifact_id, pack, *paths)
    return unsure


def forget_files(conn: Connection, artifact_id: str) -> None:
    """Delete the files of an artifact; mark contents that nothing else names for deletion."""
    gone = loose_files.delete().where(loose_files.c.artifact_id == artifact_id)
    digests = set(conn.execute(gone.returning(loose_files.c.sha256)).scalars())
    if (pack := drop_pack(conn, artifact_id)) is not None:
        digests.add(pack)
        # A few rows are deleted with the pack; the rest later, in batches, as no query reads them.
        forget_packed(conn, artifact_id, _FEW_FILES)
    if digests:
        mark_unnamed_for_deletion(conn, digests)


_FORGET_SOME = text("""
    DELETE FROM loose_files WHERE artifact_id = :artifact_id AND path IN (
        SELECT path FROM loose_files WHERE artifact_id = :artifact_id LIMIT :limit)
    RETURNING sha256
""")


# One statement, however many rows: thousands of rows as single parameters take longer to send.
_ADD_FILES = text("""
    INSERT INTO loose_files (artifact_id, path, sha256, size_bytes, executable)
    SELECT :artifact_id, * FROM unnest(
        CAST(:path AS text[]), CAST(:sha256 AS text[]), CAST(:size_bytes AS bigint[]),
        CAST(:executable AS boolean[]))
""")
