"""Unpack a tar, compressed or not, while its bytes arrive.

The standard library parses the headers, but from a forward-only stream; one header is in memory at
a time, and members' bytes go straight to `keep`. The whole object is read even if no later member
is selected, so that the compression's checksum and the declared digest cover all of it.
"""

import tarfile
from collections.abc import Generator, Iterator
from typing import IO, cast

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe
from staging_api.formats.forward import ForwardFile
from staging_api.formats.links import Links
from staging_api.formats.members import MemberChecker, check_mode, exactly, shown
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
        ArchiveCorrupt: not a tar, damaged or cut short.
        LimitExceeded: it unpacks to too much.
    """
    checker = MemberChecker(select, limits)
    with readable.open() as chunks:
        packed = _Counter(chunks)
        with prefetched(_limited(unpacked(packed), packed, checker)) as pieces:
            stream = ForwardFile(pieces)
            _members(stream, checker, select, keep, readable.size_bytes)
            stream.drain()


class _Counter:
    """Passes chunks on and counts their bytes."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.count += len(chunk)
            yield chunk


def _limited(
    chunks: Iterator[bytes], packed: _Counter, checker: MemberChecker
) -> Generator[bytes, None, None]:
    for chunk in chunks:
        checker.add_unpacked(len(chunk), packed.count)
        yield chunk


def _members(
    stream: ForwardFile, checker: MemberChecker, select: Select, keep: Keep, packed: int | None
) -> None:
    links = Links(checker, keep)
    for info in _headers(stream):
        name = checker.check_name(info.name)
        # Folders exist by the files in them; empty ones have no row.
        if info.type in _FOLDERS or not name:
            continue
        if info.islnk():
            links.hard(name, info.linkname, lambda found: select(found) is not None)
        elif info.issym():
            if select(name) is not None:
                links.symbolic(name, info.linkname)
        elif (path := checker.target(name)) is not None:
            member = _member(info, path, checker, packed)
            keep(member, exactly(stream.stream(info.size), info.size, name))
            links.add_file(name, member)
    links.settle()


def _member(info: tarfile.TarInfo, path: str, checker: MemberChecker, packed: int | None) -> Member:
    if info.type not in _FILES or info.sparse is not None:
        raise ArchiveUnsafe(f"{shown(info.name)} is neither a regular file, a folder nor a link")
    check_mode(info.mode, info.name)
    checker.check_declared(info.size, packed)
    return Member(path, bool(info.mode & _OWNER_MAY_RUN), info.size)


def _headers(stream: ForwardFile) -> Iterator[tarfile.TarInfo]:
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:") as tar:
            while (info := tar.next()) is not None:
                # tarfile remembers every header; a million of them would fill the memory.
                tar.members = []  # type: ignore[attr-defined]
                yield info
    except _BROKEN:
        raise ArchiveCorrupt("the tar is damaged") from None
    # tarfile takes the end of the bytes for the end of the tar; they may have been cut.
    if stream.ended:
        raise ArchiveCorrupt("the tar ends without its end mark")
