"""Compressing blocks of index files, and keeping them.

Blocks are compressed by a few threads, outside of any transaction, and kept some at a time. If the
process dies, no layout names them; the next run cuts the same blocks and finds them compressed.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from staging_api.db.engine import Database
from staging_api.debian.forms import pack
from staging_api.publishing import rows
from staging_api.publishing.blocks import PlainBlock
from staging_api.publishing.index_model import FORM_OF
from staging_api.publishing.pieces import BlockReader
from staging_api.publishing.runlog import RunLog

_THREADS = 2
_KEPT_AT_ONCE = 32
#: A block is always kept as zst: the plain text is read from that.
_BASE = "zst"
#: xz takes longest by far, so it begins first.
_SLOWEST_FIRST = ("xz", "gz", _BASE)


@dataclass(frozen=True)
class BlockWriter:
    """Keeps blocks in the forms that an archive offers."""

    database: Database
    reader: BlockReader

    def keep(self, run: RunLog, blocks: Sequence[PlainBlock], forms: Sequence[str]) -> None:
        """Compress and keep those blocks that are not there yet in each of these forms."""
        if not blocks:
            return
        own = [form for form in forms if form in ("gz", "xz")]
        with self.database.connect() as conn:
            known = rows.known_blocks(conn, [each.ref.sha256 for each in blocks], own)
        new = [each for each in blocks if each.ref.sha256 not in known]
        with ThreadPoolExecutor(_THREADS, "compress") as pool:
            for start in range(0, len(new), _KEPT_AT_ONCE):
                some = new[start : start + _KEPT_AT_ONCE]
                packed = self._packed(pool, some, own)
                with run.writing() as conn:
                    rows.add_blocks(conn, packed)
                run.progress(start + len(some), len(new))
        run.counts["blocks"] += len(new)

    def _packed(
        self, pool: Executor, blocks: Sequence[PlainBlock], forms: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """Return the rows of blocks; each form is its own task, as most runs have one block."""
        wanted = [form for form in _SLOWEST_FIRST if form in (*forms, _BASE)]
        tasks = [(form, block) for form in wanted for block in blocks]
        packed = pool.map(lambda task: pack(FORM_OF[task[0]], task[1].text), tasks)
        pieces: dict[str, dict[str, bytes]] = {block.ref.sha256: {} for block in blocks}
        for (form, block), piece in zip(tasks, packed, strict=True):
            pieces[block.ref.sha256][form] = piece
            self.reader.remember(block.ref.sha256, form, piece)
        for block in blocks:
            self.reader.remember(block.ref.sha256, "plain", block.text)
        return [_row(block, pieces[block.ref.sha256]) for block in blocks]


def _row(block: PlainBlock, pieces: Mapping[str, bytes]) -> Mapping[str, Any]:
    return {
        "sha256": block.ref.sha256,
        "last_key": block.ref.last_key,
        "entries": block.entries,
        "plain_bytes": len(block.text),
        "zst": pieces["zst"],
        "gz": pieces.get("gz"),
        "xz": pieces.get("xz"),
    }
