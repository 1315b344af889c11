"""Index files cut into blocks, so that one changed package compresses one block again, not all.

An index is its entries in the order of their keys. Where it is cut depends on nothing but the
entries since the last cut: how many bytes they have and what the hash of the key at hand says.
That gives the three properties which publishing stands on:

- The same entries always give the same blocks, hence the same files, whatever the order of the
  changes that led to them. A careful run writes no new byte; rolling back finds the old blocks.
- A change moves the cuts of its own block and, one time in twenty, of the next few; behind the
  first old cut that is found again everything stays as it was.
- No block is large, unless one entry is. The odds of a cut rise when the block has its usual size
  (one entry in 256 before, one in 16 after), so sizes keep close to it, unlike with fixed odds.

A block is known by the SHA-256 of its plain text and compressed alone, each form once in its life.
gzip members, zstd frames and (by `xz`) xz blocks are then put one behind the other.

Nothing here is stored: a process that dies leaves at most blocks that no index names yet.
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

# The larger a block, the smaller the index and the slower one change. These give 64 KiB on average:
# 20 MB of the Packages of Debian 12, as xz, are 3.0 % larger in such blocks than in blocks of
# 96 KiB, and 5.5 % larger than in blocks of 128 KiB; compressing one takes 0.6 and 0.4 of the time.
LEAST_BYTES = 24 << 10
USUAL_BYTES = 56 << 10
MOST_BYTES = 192 << 10

# The first is a multiple of the second: what cuts early would also cut late, so that an old cut is
# found again by a block that begins elsewhere.
_SELDOM = 256
_OFTEN = 16


@dataclass(frozen=True)
class BlockRef:
    """What an index file remembers of one of its blocks.

    Attributes:
        sha256: of the plain text, in hex: its identity.
        last_key: the key of its last entry.
    """

    sha256: str
    last_key: bytes


@dataclass(frozen=True)
class PlainBlock:
    """A block before it is compressed.

    Attributes:
        ref: its identity.
        entries: its stanzas, with their keys.
        text: the stanzas.
    """

    ref: BlockRef
    entries: tuple[IndexEntry, ...] = field(repr=False)
    text: bytes = field(repr=False)


@dataclass(frozen=True)
class Digest:
    """Size and hash of one index file in one form, as Release lists them."""

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
    """The blocks after a change: the old ones that were not touched, and those cut again.

    Equal to `cut` of all entries, but loads only the blocks that have to be cut again. One of
    these can come out as it was, or as some earlier index had it: look before packing it.

    Args:
        layout: the blocks of the index as it is.
        changes: by key, the entry to put there, or None to take it away.
        load: the entries of a block of the layout.
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
    """An index file in one form, out of its blocks in that form; nothing but blocks is held."""
    if form is Form.XZ:
        yield from join_xz(packed)
        return
    empty = True
    for piece in packed:
        empty = False
        yield piece
    if empty:
        # A file of no bytes at all is neither gzip nor zstd.
        yield pack(form, b"")


def _shares(
    layout: Sequence[BlockRef], changes: Mapping[bytes, IndexEntry | None]
) -> defaultdict[int, dict[bytes, IndexEntry | None]]:
    """The changes by the position of their block; the last block takes what sorts behind all."""
    last_keys = [ref.last_key for ref in layout[:-1]]
    shares: defaultdict[int, dict[bytes, IndexEntry | None]] = defaultdict(dict)
    for key, entry in changes.items():
        shares[bisect_left(last_keys, key)][key] = entry
    return shares


class _Cutter:
    """Takes entries in order and gives a block whenever one is complete."""

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
        """The entries fed since the last block, as a block."""
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
