"""Unpack a tar while its bytes arrive, whatever it is compressed with.

The headers are read by the standard library, but from a stream that only goes forward, never
holds more than one header in memory, and hands the members' bytes straight to whoever keeps them.
The whole object is read even if nothing behind a certain member is selected, so that the
checksum of the compression, and the source's own digest, cover all of it.
"""

import tarfile
from collections.abc import Generator, Iterator
from typing import IO, cast

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe
from staging_api.formats.forward import ForwardFile
from staging_api.formats.links import Links
from staging_api.formats.members import Guard, check_mode, exactly, shown
from staging_api.formats.model import Keep, Limits, Member, Readable, Select
from staging_api.formats.unpacking import unpacked
from staging_api.prefetch import prefetched

_FOLDERS = (tarfile.DIRTYPE,)
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_OWNER_MAY_RUN = 0o100
_BROKEN = (tarfile.TarError, ValueError, OverflowError, UnicodeError)


def extract(readable: Readable, select: Select, keep: Keep, limits: Limits) -> None:
    """Keep the selected members.

    Raises:
        ArchiveUnsafe: a member must not be unpacked.
        ArchiveCorrupt: it is no tar, is damaged or cut short.
        LimitExceeded: it unpacks to too much.
    """
    guard = Guard(select, limits)
    with readable.open() as chunks:
        packed = _Counter(chunks)
        with prefetched(_limited(unpacked(packed), packed, guard)) as pieces:
            stream = ForwardFile(pieces)
            _members(stream, guard, select, keep, readable.size_bytes)
            stream.drain()


class _Counter:
    """Passes chunks on and knows how many bytes they had."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.count += len(chunk)
            yield chunk


def _limited(
    chunks: Iterator[bytes], packed: _Counter, guard: Guard
) -> Generator[bytes, None, None]:
    for chunk in chunks:
        guard.unpacked(len(chunk), packed.count)
        yield chunk


def _members(
    stream: ForwardFile, guard: Guard, select: Select, keep: Keep, packed: int | None
) -> None:
    links = Links(guard, keep)
    for info in _headers(stream):
        name = guard.look_at(info.name)
        # Folders exist by the files in them; a table of paths needs none that are empty.
        if info.type in _FOLDERS or not name:
            continue
        if info.islnk():
            links.hard(name, info.linkname, lambda found: select(found) is not None)
        elif info.issym():
            if select(name) is not None:
                links.symbolic(name, info.linkname)
        elif (path := guard.target(name)) is not None:
            member = _member(info, path, guard, packed)
            keep(member, exactly(stream.stream(info.size), info.size, name))
            links.came_out(name, member)
    links.settle()


def _member(info: tarfile.TarInfo, path: str, guard: Guard, packed: int | None) -> Member:
    if info.type not in _FILES or info.sparse is not None:
        raise ArchiveUnsafe(f"{shown(info.name)} is neither a plain file, a folder nor a link")
    check_mode(info.mode, info.name)
    guard.declared(info.size, packed)
    return Member(path, bool(info.mode & _OWNER_MAY_RUN), info.size)


def _headers(stream: ForwardFile) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as tar:
            while (info := tar.next()) is not None:
                # The library remembers every header; a million of them would fill the memory.
                tar.members = []  # type: ignore[attr-defined]
                yield info
    except _BROKEN:
        raise ArchiveCorrupt("the tar is damaged") from None
    # The library takes the end of the bytes for the end of the archive; they may have been cut.
    if stream.ended:
        raise ArchiveCorrupt("the tar ends without its end mark")
