"""Index files assembled from their blocks: read in any form, and hashed incrementally.

Both classes cache recently used data of this process, within bounds. Cached data is named by its
content, so it is always valid, whatever other processes do, and may be lost at any time.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from staging_api.bounded_cache import BoundedCache
from staging_api.db.engine import Database
from staging_api.debian import xz
from staging_api.debian.forms import Form, unpack
from staging_api.publishing.blocks import BlockRef, Digest, assemble
from staging_api.publishing.index_model import FORM_OF
from staging_api.publishing.indices import IndexEntry, entries_of
from staging_api.publishing.rows import indices

#: Enough for both architectures of an archive of 50,000 packages.
REMEMBERED_BYTES = 128 << 20
_AT_ONCE = 16
_MAX_BLOCK_BYTES = 16 << 20
_REMEMBERED_FILES = 2000
_REMEMBERED_LAYOUTS = 200
#: Cache size for parsed stanzas: parsing the stanzas of a block for each change takes longer than
#: its gzip.
_REMEMBERED_ENTRY_BYTES = 16 << 20


class BlockReader:
    """Reads blocks by their sha256, from memory or else from the database."""

    def __init__(self, database: Database, capacity_bytes: int = REMEMBERED_BYTES) -> None:
        self._database = database
        self._pieces: BoundedCache[tuple[str, str], bytes] = BoundedCache(most_bytes=capacity_bytes)
        self._layouts: BoundedCache[str, Sequence[BlockRef]] = BoundedCache(_REMEMBERED_LAYOUTS)
        self._entries: BoundedCache[str, Sequence[IndexEntry]] = BoundedCache(
            most_bytes=_REMEMBERED_ENTRY_BYTES
        )

    def layout(self, name: str) -> Sequence[BlockRef]:
        """Return the blocks of an index file, in order, by the name of its layout."""
        found = self._layouts.get(name)
        if found is None:
            with self._database.connect() as conn:
                found = indices.layout(conn, name)
            self.remember_layout(name, found)
        return found

    def remember_layout(self, name: str, blocks: Sequence[BlockRef]) -> None:
        """Cache the blocks of an index file; the least recently used are dropped."""
        self._layouts.put(name, blocks)

    def entries(self, digest: str) -> Sequence[IndexEntry]:
        """Return the stanzas of a block, with their keys."""
        found = self._entries.get(digest)
        if found is None:
            found = entries_of(b"".join(self.read([digest], "plain")))
            self.remember_entries(digest, found)
        return found

    def remember_entries(self, digest: str, entries: Sequence[IndexEntry]) -> None:
        """Cache the stanzas of a block; the least recently used are dropped."""
        if self._entries.get(digest) is None:
            self._entries.put(digest, entries, sum(len(entry.stanza) for entry in entries))

    def read(self, digests: Sequence[str], form: str) -> Iterator[bytes]:
        """Yield blocks in one form, in this order; only a few are in memory at a time.

        Raises:
            LookupError: a block does not exist. A file without it would be hashed and served as
                complete.
        """
        for start in range(0, len(digests), _AT_ONCE):
            some = digests[start : start + _AT_ONCE]
            found = {digest: self._pieces.get((digest, form)) for digest in some}
            missing = [digest for digest, piece in found.items() if piece is None]
            if missing:
                found |= self._load(missing, form)
            for digest in some:
                if (piece := found[digest]) is None:
                    raise LookupError(f"the block {digest} is not there in the form {form}")
                yield piece

    def file(self, digests: Sequence[str], form: str) -> Iterator[bytes]:
        """Yield the index file with these blocks, in one form."""
        return assemble(FORM_OF[form], self.read(digests, form))

    def remember(self, digest: str, form: str, piece: bytes) -> None:
        """Cache a block; the least recently used are dropped."""
        self._pieces.put((digest, form), piece, len(piece))

    def _load(self, digests: list[str], form: str) -> dict[str, bytes]:
        plain = form == "plain"
        with self._database.connect() as conn:
            found = indices.pieces(conn, digests, "zst" if plain else form)
        if plain:
            found = {k: unpack(Form.ZST, frame, _MAX_BLOCK_BYTES) for k, frame in found.items()}
        for digest, piece in found.items():
            self.remember(digest, form, piece)
        return found


class FileHashes:
    """Sizes and hashes of index files; a changed file is hashed from its first changed block on."""

    def __init__(self, reader: BlockReader) -> None:
        self._reader = reader
        self._trails: OrderedDict[tuple[object, str], _Trail] = OrderedDict()
        self._lock = threading.Lock()

    def measure(self, file: object, form: str, blocks: Sequence[str]) -> Digest:
        """Return size and hash of the file with these blocks.

        Args:
            file: identifies the file, whose earlier hash states may be cached.
            form: name of the form.
            blocks: sha256 of each block.
        """
        key = (file, form)
        with self._lock:
            # Removed while it is extended: a second thread that measures the same file starts from
            # the beginning.
            old = self._trails.pop(key, None)
        trail = _prefix(old or _begun(form), blocks)
        left = blocks[len(trail.blocks) :]
        for digest, piece in zip(left, self._reader.read(left, form), strict=True):
            _walk(trail, form, digest, piece)
        with self._lock:
            self._trails[key] = trail
            if len(self._trails) > _REMEMBERED_FILES:
                self._trails.popitem(last=False)
        return _ended(trail, form)


@dataclass
class _Trail:
    """State of the hash of a file after each of its blocks.

    Attributes:
        blocks: the blocks of the file, in order.
        states: hash and size after each number of blocks; one more than `blocks`.
        records: for an xz file, the index record of each block.
    """

    blocks: list[str] = field(default_factory=list)
    states: list[tuple[Any, int]] = field(default_factory=list)
    records: list[bytes] = field(default_factory=list)


def _begun(form: str) -> _Trail:
    header = xz.HEADER if form == "xz" else b""
    return _Trail(states=[(hashlib.sha256(header), len(header))])


def _prefix(old: _Trail, blocks: Sequence[str]) -> _Trail:
    """Return the part of a trail for the blocks that it has in common with these."""
    pairs = zip(old.blocks, blocks, strict=False)
    count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return _Trail(old.blocks[:count], old.states[: count + 1], old.records[:count])


def _walk(trail: _Trail, form: str, digest: str, piece: bytes) -> None:
    if form == "xz":
        piece, record = xz.take_apart(piece)
        trail.records.append(record)
    before, size = trail.states[-1]
    after = before.copy()
    after.update(piece)
    trail.states.append((after, size + len(piece)))
    trail.blocks.append(digest)


def _ended(trail: _Trail, form: str) -> Digest:
    """End the file like `blocks.assemble`: with an index for xz, with an empty piece if empty."""
    state, size = trail.states[-1]
    if form == "xz":
        end = xz.ending(trail.records)
    else:
        end = b"" if trail.blocks else b"".join(assemble(FORM_OF[form], []))
    last = state.copy()
    last.update(end)
    return Digest(size + len(end), last.hexdigest())
