"""SQL statements on blocks, layouts, index files and Releases: add, read and drop.

Every function that writes takes a connection on which `locks.store.guard` has been called in the
same transaction. Blocks and layouts are named by their content, so a run that dies leaves at most
some without references; `drop_unnamed` deletes these.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, text

from staging_api.db.engine import plain_connection_of
from staging_api.db.plain_connection import Statements
from staging_api.publishing.blocks import BlockRef
from staging_api.publishing.index_model import IndexFile, ReleaseText
from staging_api.publishing.rows.mapping import made

_FILES = text("""
    SELECT f.* FROM index_files f
    WHERE f.suite_id = ANY(:suites) AND f.first_number <= :number
        AND (f.gone_number IS NULL OR f.gone_number > :number)
    ORDER BY f.suite_id, f.path, f.form
""")
_RELEASES = text("""
    SELECT f.* FROM release_files f
    WHERE f.suite_id = ANY(:suites) AND f.first_number <= :number
        AND (f.gone_number IS NULL OR f.gone_number > :number)
    ORDER BY f.suite_id, f.name
""")
_LAYOUT = text("""
    SELECT b.sha256, b.last_key
    FROM index_layouts l, unnest(l.blocks) WITH ORDINALITY AS u (sha256, place)
    JOIN index_blocks b ON b.sha256 = u.sha256
    WHERE l.sha256 = :layout ORDER BY u.place
""")
_KNOWN_BLOCKS = text("""
    SELECT sha256 FROM index_blocks
    WHERE sha256 = ANY(:digests) AND (NOT :gz OR gz IS NOT NULL) AND (NOT :xz OR xz IS NOT NULL)
""")
# Equal digests mean equal content: an existing block only gets the forms that it lacks.
_ADD_BLOCK = text("""
    INSERT INTO index_blocks AS b (sha256, last_key, entries, plain_bytes, zst, gz, xz)
    VALUES (:sha256, :last_key, :entries, :plain_bytes, :zst, :gz, :xz)
    ON CONFLICT (sha256) DO UPDATE
    SET gz = coalesce(b.gz, excluded.gz), xz = coalesce(b.xz, excluded.xz)
""")
_PIECES = {
    form: text(f"SELECT sha256, {form} FROM index_blocks WHERE sha256 = ANY(:digests)")  # noqa: S608
    for form in ("zst", "gz", "xz")
}
# Rows that no kept generation has; kept are the live one, and retired ones not yet reaped.
_DROP = """
    DELETE FROM {table} f USING suites s
    WHERE s.id = f.suite_id AND s.archive_id = :archive_id AND f.gone_number IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM dists_generations g
            WHERE g.archive_id = :archive_id AND g.state IN ('live', 'retired')
                AND g.number >= f.first_number AND g.number < f.gone_number)
"""
_DROP_FILES = text(_DROP.format(table="index_files"))
_DROP_RELEASES = text(_DROP.format(table="release_files"))
_DROP_LAYOUTS = text("""
    DELETE FROM index_layouts l
    WHERE NOT EXISTS (SELECT FROM index_files f WHERE f.layout = l.sha256)
""")
_DROP_BLOCKS = text("""
    DELETE FROM index_blocks b WHERE NOT EXISTS (
        SELECT FROM (SELECT unnest(l.blocks) AS sha256 FROM index_layouts l) n
        WHERE n.sha256 = b.sha256)
""")


def index_files_of(conn: Statements, suite_ids: Sequence[int], number: int) -> list[IndexFile]:
    """Return the index files of these suites in one generation."""
    rows = conn.execute(_FILES, {"suites": list(suite_ids), "number": number})
    return [made(IndexFile, row) for row in rows]


def releases_of(conn: Statements, suite_ids: Sequence[int], number: int) -> list[ReleaseText]:
    """Return the Releases of these suites in one generation."""
    rows = conn.execute(_RELEASES, {"suites": list(suite_ids), "number": number})
    return [made(ReleaseText, row) for row in rows]


def layout(conn: Connection, sha256: str) -> list[BlockRef]:
    """Return the blocks of a layout, in order."""
    rows = conn.execute(_LAYOUT, {"layout": sha256})
    return [BlockRef(row.sha256, bytes(row.last_key)) for row in rows]


def known_blocks(conn: Statements, digests: Sequence[str], forms: Sequence[str]) -> set[str]:
    """Return those of these blocks that exist in all these forms."""
    given = {"digests": list(digests), "gz": "gz" in forms, "xz": "xz" in forms}
    return set(conn.execute(_KNOWN_BLOCKS, given).scalars())


def add_blocks(conn: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Add blocks; for existing ones, add missing forms."""
    sent = plain_connection_of(conn)
    for row in rows:
        sent.execute(_ADD_BLOCK, row)


def layout_name(blocks: Sequence[str]) -> str:
    """Return the name of a layout: the sha256 of the hashes of its blocks."""
    return hashlib.sha256("\n".join(blocks).encode()).hexdigest()


def pieces(conn: Connection, digests: Sequence[str], form: str) -> dict[str, bytes]:
    """Return blocks in one form (zst, gz or xz), by their sha256."""
    rows = conn.execute(_PIECES[form], {"digests": list(digests)})
    return {row[0]: bytes(row[1]) for row in rows if row[1] is not None}


def drop_unkept(conn: Connection, archive_id: int) -> int:
    """Drop the files of generations that are no longer kept; return the number of index files."""
    dropped = conn.execute(_DROP_FILES, {"archive_id": archive_id}).rowcount
    conn.execute(_DROP_RELEASES, {"archive_id": archive_id})
    return dropped


def drop_unnamed(conn: Connection) -> int:
    """Drop layouts without files, and blocks without layouts; return the number of blocks."""
    conn.execute(_DROP_LAYOUTS)
    return conn.execute(_DROP_BLOCKS).rowcount
