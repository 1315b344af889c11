"""Unpack a tar while its bytes arrive, whatever it is compressed with.

The headers are read by the standard library, but from a stream that only goes forward, never
holds more than one header in memory, and hands the members' bytes straight to whoever keeps them.
The whole object is read even if nothing behind a certain member is selected, so that the
checksum of the compression, and the source's own digest, cover all of it.
"""

import tarfile
from collections.abc import Iterator
from typing import IO, cast

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, LimitExceeded
from staging_api.extractors.links import Links
from staging_api.extractors.members import Guard, check_mode, exactly, shown
from staging_api.extractors.model import Keep, Limits, Member, Readable, Select
from staging_api.extractors.unpacking import unpacked

_HEADER_BYTES = 1 << 20
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
        stream = ForwardFile(_limited(unpacked(packed), packed, guard))
        _members(stream, guard, select, keep)
        stream.drain()


class ForwardFile:
    """A stream of chunks as a file that can be read and sought forward, for headers."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self._position = 0
        self.ended = False

    def tell(self) -> int:
        """How many bytes were read or skipped."""
        return self._position

    def seek(self, position: int) -> int:
        """Skip forward.

        Raises:
            ArchiveCorrupt: the header asks for what has gone by.
        """
        if position < self._position:
            raise ArchiveCorrupt("a tar header points backwards")
        for _ in self.stream(position - self._position):
            pass
        return self._position

    def read(self, size: int) -> bytes:
        """Read a header.

        Raises:
            LimitExceeded: a header of this size is an attack.
        """
        if size > _HEADER_BYTES:
            raise LimitExceeded(f"a tar header has more than {_HEADER_BYTES} bytes")
        found = b"".join(self.stream(size))
        self.ended = len(found) < size
        return found

    def stream(self, size: int) -> Iterator[bytes]:
        """Give the next `size` bytes as they come, or fewer if the stream ends."""
        while size > 0:
            if not self._rest and not self._refill():
                return
            piece = self._rest[:size]
            self._rest = self._rest[size:]
            self._position += len(piece)
            size -= len(piece)
            yield cast("bytes", piece)

    def drain(self) -> None:
        """Read what is left, so that whoever counts or hashes upstream sees the end."""
        for _ in self._chunks:
            pass

    def _refill(self) -> bool:
        self._rest = memoryview(next(self._chunks, b""))
        return bool(self._rest)


class _Counter:
    """Passes chunks on and knows how many bytes they had."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self.count = 0

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._chunks:
            self.count += len(chunk)
            yield chunk


def _limited(chunks: Iterator[bytes], packed: _Counter, guard: Guard) -> Iterator[bytes]:
    for chunk in chunks:
        guard.unpacked(len(chunk), packed.count)
        yield chunk


def _members(stream: ForwardFile, guard: Guard, select: Select, keep: Keep) -> None:
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
            member = _member(info, path, guard)
            keep(member, exactly(stream.stream(info.size), info.size, name))
            links.came_out(name, member)
    links.settle()


def _member(info: tarfile.TarInfo, path: str, guard: Guard) -> Member:
    if info.type not in _FILES or info.sparse is not None:
        raise ArchiveUnsafe(f"{shown(info.name)} is neither a plain file, a folder nor a link")
    check_mode(info.mode, info.name)
    guard.declared(info.size)
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
