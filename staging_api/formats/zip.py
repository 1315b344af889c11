"""Unpack selected members of a zip by ranges: the whole zip is never fetched.

One member costs two requests: for the last bytes, which hold the directory, and for the member's
local header and data. Selected members that lie side by side share one stream. A member's CRC-32,
both its lengths and its header are checked against the directory; no request goes past the
beginning of the next member.
"""

import bz2
import stat
from collections.abc import Callable, Generator, Iterator
from contextlib import closing

from isal import igzip_lib, isal_zlib

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe
from staging_api.formats.forward import ForwardFile
from staging_api.formats.members import MemberChecker, check_mode, exactly, shown
from staging_api.formats.model import Keep, Limits, Member, Readable, Select
from staging_api.formats.unpacking import Unpacker, new_zstd, pieces
from staging_api.formats.zip_directory import (
    LOCAL_BYTES,
    Entry,
    check_local,
    is_encrypted,
    length_of_rest,
    read_directory,
)
from staging_api.prefetch import prefetched

_OWNER_MAY_RUN = 0o100
_MAX_LOCAL_EXTRA = 0xFFFF
_STORED = 0
#: So many unwanted bytes arrive sooner than another answer.
_WORTH_SKIPPING = 64 << 10
#: Below this size a member is unpacked before another thread would have started.
_WORTH_A_THREAD = 1 << 20


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
        ArchiveCorrupt: not a zip, damaged or cut short.
        SourceFailed: the source does not declare the length of the zip.
        LimitExceeded: it unpacks to too much.
    """
    if readable.size_bytes is None:
        raise ArchiveCorrupt("the length of the zip is not known, so its end cannot be found")
    checker = MemberChecker(select, limits)
    packed = 0
    wanted = []
    for entry in read_directory(readable, readable.size_bytes, limits):
        if (path := _target(entry, checker)) is not None:
            packed += entry.packed
            wanted.append((entry, _member(entry, path, checker, packed)))
    for run in _runs(wanted):
        first, last = run[0][0], run[-1][0]
        with readable.open(first.offset, _end_of(last)) as chunks:
            stream = ForwardFile(iter(chunks), first.offset)
            for entry, member in run:
                with closing(_content(stream, entry, checker)) as content:
                    keep(member, content)


def _target(entry: Entry, checker: MemberChecker) -> str | None:
    name = checker.check_name(entry.name)
    return None if entry.name.endswith("/") else checker.target(name)


def _runs(wanted: list[tuple[Entry, Member]]) -> Iterator[list[tuple[Entry, Member]]]:
    """Group members so near to each other that the gap costs less than another request."""
    run: list[tuple[Entry, Member]] = []
    for entry, member in wanted:
        if run and entry.offset - run[-1][0].end > _WORTH_SKIPPING:
            yield run
            run = []
        run.append((entry, member))
    if run:
        yield run


def _end_of(entry: Entry) -> int:
    """Return the latest end of the entry's bytes: only its local header has its own length."""
    header = LOCAL_BYTES + len(entry.raw_name) + _MAX_LOCAL_EXTRA
    return min(entry.end, entry.offset + header + entry.packed)


def _member(entry: Entry, path: str, checker: MemberChecker, packed: int) -> Member:
    name = shown(entry.name)
    if is_encrypted(entry):
        raise ArchiveUnsafe(f"{name} is encrypted")
    if entry.mode and stat.S_IFMT(entry.mode) not in (0, stat.S_IFREG):
        raise ArchiveUnsafe(f"{name} is not a regular file")
    check_mode(entry.mode, entry.name)
    if entry.method != _STORED and entry.method not in _METHODS:
        raise ArchiveCorrupt(f"{name} is packed by method {entry.method}, which is not supported")
    checker.check_declared(entry.size, packed)
    return Member(path, bool(entry.mode & _OWNER_MAY_RUN), entry.size)


def _content(
    stream: ForwardFile, entry: Entry, checker: MemberChecker
) -> Generator[bytes, None, None]:
    """Yield the member's bytes; all checks are done before the last ones."""
    stream.seek(entry.offset)
    head = stream.read(LOCAL_BYTES)
    if stream.ended:
        raise ArchiveCorrupt("the zip is cut short")
    start = check_local(entry, head + stream.read(length_of_rest(head)))
    if entry.offset + start + entry.packed > entry.end:
        raise ArchiveUnsafe("members of the zip overlap")
    data = _checked(stream.stream(entry.packed), entry, checker)
    if entry.packed < _WORTH_A_THREAD:
        yield from data
        return
    with prefetched(data) as pieces_ahead:
        yield from pieces_ahead


def _checked(
    packed: Iterator[bytes], entry: Entry, checker: MemberChecker
) -> Generator[bytes, None, None]:
    data = packed if entry.method == _STORED else _unpacked(packed, entry)
    so_far = checker.add_packed(entry.packed)
    crc = 0
    for piece in exactly(data, entry.size, entry.name):
        checker.add_unpacked(len(piece), so_far)
        crc = isal_zlib.crc32(piece, crc)
        yield piece
    if crc != entry.crc:
        raise ArchiveCorrupt(f"{shown(entry.name)} does not have its CRC-32")


def _unpacked(packed: Iterator[bytes], entry: Entry) -> Iterator[bytes]:
    unpacker = _METHODS[entry.method]()
    yield from pieces(unpacker, next(packed, b""), packed)
    if unpacker.unused_data or next(packed, b""):
        raise ArchiveCorrupt(f"{shown(entry.name)} has bytes after its end")
