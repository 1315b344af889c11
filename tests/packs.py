"""Packs for tests: the loose files of a staged artifact, moved into a pack."""

from sqlalchemy import text

from staging_api.staging.fetched import PackedRow
from staging_api.staging.repository import pack_rows, store_rows
from staging_api.store.blobs import Blob
from tests.stagings import Bench


def packed_up(at: Bench, artifact_id: str) -> Blob:
    """Move all files of an artifact into a pack, in the order of their paths; return the pack."""
    blobs = at.service.blobs
    files = at.rows(
        "SELECT path, sha256, size_bytes, executable FROM loose_files WHERE artifact_id = :id"
        ' ORDER BY path COLLATE "C"',
        id=artifact_id,
    )
    rows, content = [], b"before the first file"
    for path, sha256, size, executable in files:
        rows.append(PackedRow(path, bytes.fromhex(sha256), size, len(content), executable))
        content += blobs.read(sha256, size, 0, size)
    with blobs.batch("packs") as batch:
        pack = batch.keep([content])
        batch.commit()
    with at.database.begin() as conn:
        store_rows.name_blobs(conn, {pack.sha256: pack.size_bytes})
        conn.execute(text("DELETE FROM loose_files WHERE artifact_id = :id"), {"id": artifact_id})
        store_rows.mark_unnamed_for_deletion(conn, [sha256 for _, sha256, _, _ in files])
        pack_rows.insert_pack(conn, artifact_id, pack, files[0][0], files[-1][0])
        pack_rows.add_packed_files(conn, artifact_id, rows)
    return pack
