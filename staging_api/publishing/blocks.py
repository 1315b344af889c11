"""Content-defined cutting of index files into blocks, so that a change recompresses one block only.

An index is the list of its entries, sorted by key. The place of a cut depends only on the entries
since the last cut: on their size in bytes, and on the hash of the current key. This has three
properties that publishing relies on:

- The same entries always give the same blocks, and so the same files, whatever the order of the
  changes. A careful run writes no new byte; a rollback finds the old blocks.
- A change moves the cuts of its own block and, one time in twenty, of the next few; after the first
  old cut that is found again, all blocks are unchanged.
- No block is large, unless a single entry is. The odds of a cut rise when the block has its usual
  size (one entry in 256 before, one in 16 after), so sizes vary less than with fixed odds.

A block is identified by the SHA-256 of its plain text, and is compressed separately, only once in
each form. gzip members, zstd frames and (by `xz`) xz blocks are then concatenated.

What if the process dies? This module stores nothing; at most there are blocks that no index names.
"""

import hashlib
import zlib
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from staging_api.debian.forms import Form, pack
from staging_api.debian.xz import join_xz
from staging_api.publishing.indices import IndexEntry

# Larger blocks make the index smaller and a change slower. These sizes give 64 KiB on average: 20
# MB of the Packages of Debian 12, as xz, are 3.0 % larger in such blocks than in blocks of 96 KiB,
# and 5.5 % larger than in blocks of 128 KiB; compressing one takes 0.6 and 0.4 of the time.
LEAST_BYTES = 24 << 10
USUAL_BYTES = 56 << 10
MOST_BYTES = 192 << 10

# The first number is a multiple of the second: a key that cuts early would also cut late, so that a
# block that begins elsewhere finds an old cut again.
_SELDOM = 256
_OFTEN = 16


@dataclass(frozen=True)
class BlockRef:
    """Reference of an index file to one of its blocks.

    Attributes:
        sha256: digest of the plain text, in hex: the identity of the block.
        last_key: key of its last entry.
    """

    sha256: str
    last_key: bytes


@dataclass(frozen=True)
class PlainBlock:
    """A block before compression.

    Attributes:
        ref: reference to the block.
        entries: its stanzas, with their keys.
        text: the concatenated stanzas.
    """

    ref: BlockRef
    entries: tuple[IndexEntry, ...] = field(repr=False)
    text: bytes = field(repr=False)


@dataclass(frozen=True)
class Digest:
    """Size and hash of one index file in one form, as listed in a Release."""

    size_bytes: int
    sha256: str


def cut(entries: Iterable[IndexEntry]) -> Iterator[PlainBlock]:
    """Cut entries, sorted by key, into blocks."""
    cutter = _Cutter()
    for entry in entries:
        yield from cutter.feed(entry)
    yield from cutter.rest()


def recut(
    layout: Sequence[BlockRef],
    changes: Mapping[bytes, IndexEntry | None],
    load: Callable[[BlockRef], Iterable[IndexEntry]],
) -> Iterator[BlockRef | PlainBlock]:
    """Yield the blocks after a change: unchanged old ones, and those that were cut again.

    The result is equal to `cut` of all entries, but only blocks that are cut again are loaded. A
    block that was cut again can equal an old block: look it up before compressing it.

    Args:
        layout: the current blocks of the index.
        changes: by key, the new entry, or None to remove the entry.
        load: loads the entries of a block of the layout.
    """
    shares = _shares(layout, changes)
    cutter = _Cutter()
    for position, ref in enumerate(layout):
        if cutter.empty and position not in shares:
            yield ref
            continue
        old = {entry.key: entry for entry in load(ref)}
        yield from cutter.feed_all(old | shares[position])
    if not layout:
        yield from cutter.feed_all(changes)
    yield from cutter.rest()


def assemble(form: Form, packed: Iterable[bytes]) -> Iterator[bytes]:
    """Yield an index file in one form from its blocks in that form, without buffering the file."""
    if form is Form.XZ:
        yield from join_xz(packed)
        return
    empty = True
    for piece in packed:
        empty = False
        yield piece
    if empty:
        # A file without any bytes is neither valid gzip nor valid zstd.
        yield pack(form, b"")


def _shares(
    layout: Sequence[BlockRef], changes: Mapping[bytes, IndexEntry | None]
) -> defaultdict[int, dict[bytes, IndexEntry | None]]:
    """Group the changes by the index of their block; the last block gets all later keys."""
    last_keys = [ref.last_key for ref in layout[:-1]]
    shares: defaultdict[int, dict[bytes, IndexEntry | None]] = defaultdict(dict)
    for key, entry in changes.items():
        shares[bisect_left(last_keys, key)][key] = entry
    return shares


class _Cutter:
    """Collects entries in order, and yields a block whenever one is complete."""

    def __init__(self) -> None:
        self._entries: list[IndexEntry] = []
        self._bytes = 0

    @property
    def empty(self) -> bool:
        """Whether the next entry begins a block."""
        return not self._entries

    def feed(self, entry: IndexEntry) -> Iterator[PlainBlock]:
        self._entries.append(entry)
        self._bytes += len(entry.stanza)
        if self._ends_here(entry.key):
            yield from self.rest()

    def feed_all(self, entries: Mapping[bytes, IndexEntry | None]) -> Iterator[PlainBlock]:
        for key in sorted(entries):
            if (entry := entries[key]) is not None:
                yield from self.feed(entry)

    def rest(self) -> Iterator[PlainBlock]:
        """Yield the entries added since the last block, as a block."""
        if self._entries:
            text = b"".join(entry.stanza for entry in self._entries)
            ref = BlockRef(hashlib.sha256(text).hexdigest(), self._entries[-1].key)
            yield PlainBlock(ref, tuple(self._entries), text)
        self._entries, self._bytes = [], 0

    def _ends_here(self, key: bytes) -> bool:
        if self._bytes < LEAST_BYTES:
            return False
        odds = _SELDOM if self._bytes < USUAL_BYTES else _OFTEN
        return self._bytes >= MOST_BYTES or zlib.crc32(key) % odds == 0
