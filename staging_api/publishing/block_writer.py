"""Compress blocks of index files, and store them.

Blocks are compressed by a few threads, outside of any transaction. A few blocks are stored together
with the generation that lists them; many blocks are stored before it, in batches. If the process
dies then, no layout names them; the next run cuts the same blocks and finds them stored.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from staging_api.db.engine import Database
from staging_api.debian.forms import pack
from staging_api.publishing.blocks import PlainBlock
from staging_api.publishing.index_model import FORM_OF
from staging_api.publishing.pieces import BlockReader
from staging_api.publishing.rows import indices
from staging_api.publishing.runlog import RunLog

#: The threads start with the first block of a process, after any fork, and are reused.
_POOL = ThreadPoolExecutor(2, "compress")
_KEPT_AT_ONCE = 32
#: A block is always stored as zst: its plain text is read from that form.
_BASE = "zst"
#: xz takes by far the longest, so it is started first.
_SLOWEST_FIRST = ("xz", "gz", _BASE)


@dataclass(frozen=True)
class BlockWriter:
    """Stores blocks in the forms that an archive offers."""

    database: Database
    reader: BlockReader

    def keep(self, run: RunLog, blocks: Sequence[PlainBlock], forms: Sequence[str]) -> None:
        """Compress and store the blocks that do not yet exist in each of these forms."""
        new = self._unknown(blocks, forms)
        for start in range(0, len(new), _KEPT_AT_ONCE):
            some = new[start : start + _KEPT_AT_ONCE]
            packed = self._packed(some, forms)
            with run.step() as conn:
                indices.add_blocks(conn, packed)
            run.progress(start + len(some), len(new))
        run.counts["blocks"] += len(new)

    def packed(
        self, run: RunLog, blocks: Sequence[PlainBlock], forms: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """Compress blocks; return the rows of those that do not exist yet.

        The caller stores the rows together with the layouts that name them. So many blocks that
        this would be a long transaction are stored here instead, and no rows are returned.
        """
        if len(blocks) > _KEPT_AT_ONCE:
            self.keep(run, blocks, forms)
            return []
        new = self._unknown(blocks, forms)
        run.counts["blocks"] += len(new)
        return self._packed(new, forms)

    def _unknown(self, blocks: Sequence[PlainBlock], forms: Sequence[str]) -> list[PlainBlock]:
        """Return the blocks that do not exist in each of these forms, without duplicates."""
        wanted = {each.ref.sha256: each for each in blocks}
        if not wanted:
            return []
        with self.database.plain_connection() as conn:
            known = indices.known_blocks(conn, list(wanted), _own(forms))
        return [block for digest, block in wanted.items() if digest not in known]

    def _packed(
        self, blocks: Sequence[PlainBlock], forms: Sequence[str]
    ) -> list[Mapping[str, Any]]:
        """Return the rows of blocks; each form is a separate task, as most runs have one block."""
        wanted = [form for form in _SLOWEST_FIRST if form in (*_own(forms), _BASE)]
        tasks = [(form, block) for form in wanted for block in blocks]
        packed = _POOL.map(lambda task: pack(FORM_OF[task[0]], task[1].text), tasks)
        pieces: dict[str, dict[str, bytes]] = {block.ref.sha256: {} for block in blocks}
        for (form, block), piece in zip(tasks, packed, strict=True):
            pieces[block.ref.sha256][form] = piece
            self.reader.remember(block.ref.sha256, form, piece)
        for block in blocks:
            self.reader.remember(block.ref.sha256, "plain", block.text)
            self.reader.remember_entries(block.ref.sha256, block.entries)
        return [_row(block, pieces[block.ref.sha256]) for block in blocks]


def _own(forms: Sequence[str]) -> list[str]:
    """Return the forms that are stored in addition to zst."""
    return [form for form in forms if form in ("gz", "xz")]


def _row(block: PlainBlock, pieces: Mapping[str, bytes]) -> Mapping[str, Any]:
    return {
        "sha256": block.ref.sha256,
        "last_key": block.ref.last_key,
        "entries": len(block.entries),
        "plain_bytes": len(block.text),
        "zst": pieces["zst"],
        "gz": pieces.get("gz"),
        "xz": pieces.get("xz"),
    }
