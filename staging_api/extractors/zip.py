"""Unpack chosen members of a zip by ranges: the archive itself is never fetched.

Two requests bring one member: the last bytes, which hold the directory, and one stream over the
member's local header and data. Its CRC-32, both its lengths and its header are checked against
the directory; no request goes past the beginning of the next member.
"""

import bz2
import stat
from collections.abc import Callable, Iterable, Iterator

from isal import igzip_lib, isal_zlib

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe
from staging_api.extractors.members import Guard, check_mode, exactly, shown
from staging_api.extractors.model import Keep, Limits, Member, Readable, Select
from staging_api.extractors.unpacking import Unpacker, new_zstd, pieces
from staging_api.extractors.zip_directory import (
    LOCAL_BYTES,
    Entry,
    check_local,
    is_encrypted,
    read_directory,
)

_OWNER_MAY_RUN = 0o100
_MAX_LOCAL_EXTRA = 0xFFFF
_STORED = 0


def _new_inflate() -> Unpacker:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)


_METHODS: dict[int, Callable[[], Unpacker]] = {
    8: _new_inflate,
    12: bz2.BZ2Decompressor,
    93: new_zstd,
}


def extract(readable: Readable, select: Select, keep: Keep, limits: Limits) -> None:
    """Keep the selected members.

    Raises:
        ArchiveUnsafe: a member must not be unpacked.
        ArchiveCorrupt: it is no zip, is damaged or cut short.
        LimitExceeded: it unpacks to too much.
        SourceFailed: the source does not say how long the zip is.
    """
    if readable.size_bytes is None:
        raise ArchiveCorrupt("the length of the zip is not known, so its end cannot be found")
    guard = Guard(select, limits)
    for entry in read_directory(readable, readable.size_bytes, limits):
        name = guard.look_at(entry.name)
        if entry.name.endswith("/") or (path := guard.target(name)) is None:
            continue
        member = _member(entry, path, guard)
        keep(member, _content(readable, entry, guard))


def _member(entry: Entry, path: str, guard: Guard) -> Member:
    name = shown(entry.name)
    if is_encrypted(entry):
        raise ArchiveUnsafe(f"{name} is encrypted")
    if entry.mode and stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG):
        raise ArchiveUnsafe(f"{name} is not a plain file")
    check_mode(entry.mode, entry.name)
    if entry.method != _STORED and entry.method not in _METHODS:
        raise ArchiveCorrupt(f"{name} is packed by method {entry.method}, which is not supported")
    guard.declared(entry.size)
    return Member(path, bool(entry.mode & _OWNER_MAY_RUN), entry.size)


def _content(readable: Readable, entry: Entry, guard: Guard) -> Iterator[bytes]:
    """The member's bytes, all checks done by the time the last one is given."""
    name_length = len(entry.raw_name)
    furthest = entry.offset + LOCAL_BYTES + name_length + _MAX_LOCAL_EXTRA + entry.packed
    # One stream over header and data: how long the local header is only the header itself tells.
    with readable.open(entry.offset, min(entry.end, furthest)) as chunks:
        packed = _data(iter(chunks), entry)
        data = packed if entry.method == _STORED else _unpacked(packed, entry)
        crc, seen = 0, 0
        for piece in exactly(data, entry.size, entry.name):
            seen += len(piece)
            guard.unpacked(len(piece), entry.packed)
            crc = isal_zlib.crc32(piece, crc)
            yield piece
    if crc != entry.crc:
        raise ArchiveCorrupt(f"{shown(entry.name)} does not have its CRC-32")


def _data(chunks: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    """The member's packed bytes: what follows its local header, no more and no less."""
    head = _at_least(LOCAL_BYTES, b"", chunks)
    lengths = int.from_bytes(head[26:28], "little"), int.from_bytes(head[28:30], "little")
    head = _at_least(LOCAL_BYTES + sum(lengths), head, chunks)
    start = check_local(entry, head)
    if entry.offset + start + entry.packed > entry.end:
        raise ArchiveUnsafe("members of the zip overlap")
    left = entry.packed
    for chunk in _chained(head[start:], chunks):
        yield chunk[:left]
        left -= min(left, len(chunk))
        if not left:
            return
    raise ArchiveCorrupt("the zip is cut short")


def _at_least(length: int, head: bytes, chunks: Iterator[bytes]) -> bytes:
    while len(head) < length:
        chunk = next(chunks, None)
        if chunk is None:
            raise ArchiveCorrupt("the zip is cut short")
        head += chunk
    return head


def _chained(head: bytes, rest: Iterable[bytes]) -> Iterator[bytes]:
    yield head
    yield from rest


def _unpacked(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    unpacker = _METHODS[entry.method]()
    yield from pieces(unpacker, next(packed, b""), packed)
    if unpacker.unused_data or next(packed, b""):
        raise ArchiveCorrupt(f"{shown(entry.name)} has bytes after its end")
