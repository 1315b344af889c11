"""Unpack a tar, compressed or not, while its bytes arrive.

`tarfile` parses the headers, but from a forward-only stream; one header is in memory at a time, and
members' bytes go straight to `keep`. The whole object is read even if no later member is selected,
so that the compression's checksum and the declared digest cover all of it. The object is read a
second time if a selected link leads to an unselected file that has already passed.

Members are interpreted like in GNU tar: an unknown type is a regular file, the entries of an
incremental dump are folders, and a volume label is not a member.
"""

import re
import tarfile
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import IO, Self, cast

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe
from staging_api.formats.forward import ForwardFile
from staging_api.formats.links import Links
from staging_api.formats.members import MemberChecker, PackedBytes, exactly
from staging_api.formats.model import Keep, Member, Readable, Select, UnpackLimits
from staging_api.formats.names import folded, repaired, shown
from staging_api.formats.recognising import instead_of_tar
from staging_api.formats.sparse import data_bytes, declared_extents, expanded, extents
from staging_api.formats.unpacking import unpacked
from staging_api.prefetch import prefetched

_INCREMENTAL_FOLDER, _CONTINUED, _VOLUME_LABEL = b"D", b"M", b"V"
_FOLDERS = (tarfile.DIRTYPE, _INCREMENTAL_FOLDER)
_MAGIC, _PREFIX = slice(257, 265), slice(345, 500)
_NAME_BYTES, _CHECKSUM = 100, slice(148, 156)
#: The header from the mode to the end, with octal digits in all numbers: a file, link or folder.
_USUAL = re.compile(
    rb"([0-7]{7})[\0 ](?:[0-7]{7}[\0 ]){2}"  # mode, owner, group
    rb"([0-7]{11})[\0 ][0-7]{11}[\0 ]"  # size, time
    rb"([0-7]{6})[\0 ]{2}([\x000125])"  # checksum, type
    rb"(?=([^\0]{0,100})).{100}"  # name of the link
    rb"(ustar(?:\x0000|  \0)).{64}"  # magic, names of owner and group
    rb"(?:[0-7]{7}[\0 ]|\0{8}){2}"  # device
    rb"(?=([^\0]{0,155})).{167}",  # folders above, to the end
    re.DOTALL,
)
_DEVICES = (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE)
_BROKEN = (tarfile.TarError, ValueError, OverflowError, UnicodeError, IndexError)


def extract(readable: Readable, select: Select, keep: Keep, limits: UnpackLimits) -> Sequence[str]:
    """Unpack the selected members.

    Raises:
        ArchiveUnsafe: a member must not be unpacked.
        ArchiveCorrupt: the object is not a tar, is damaged or truncated.
        LimitExceeded: the tar unpacks to too much.
    """
    checker = MemberChecker(select, limits)
    links = Links(checker, keep)
    with _read(readable, checker, limits) as tar:
        for info in tar:
            name = checker.check_name(repaired(info.name))
            if name:
                _take(tar, info, name, links)
    if lacking := links.settle():
        with _read(readable, MemberChecker(select, limits), limits) as tar:
            for info in tar:
                if (name := folded(repaired(info.name))) in lacking and _is_file(info):
                    links.bring(name, *tar.member(info, name, checker))
    return checker.result()


class _Header(tarfile.TarInfo):
    """Header parser; `tarfile` misreads the times that GNU tar writes into dumps as folders."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Parse a header."""
        usual = cls._of_usual(buf, encoding, errors)
        if usual is not None:
            return usual
        info = super().frombuf(buf, encoding, errors)
        # The bytes of the folders in a ustar header are times, or zeros, in an old GNU header.
        times = bytes(buf[_PREFIX]).partition(b"\0")[0]
        if buf[_MAGIC] == tarfile.GNU_MAGIC and times:
            info.name = info.name.removeprefix(times.decode(encoding, errors) + "/")
        return info

    @classmethod
    def _of_usual(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self | None:
        """Parse the fields that are used, if all have their usual form; else return None.

        `tarfile` parses headers of any form, field by field: that took more than half of the time
        for an archive of many small files.
        """
        found = _USUAL.match(buf, _NAME_BYTES)
        if found is None or len(buf) != tarfile.BLOCKSIZE:
            return None
        mode, size, checksum, kind, link, magic, prefix = found.groups()
        # The checksum field itself counts as eight spaces.
        if sum(buf) - sum(buf[_CHECKSUM]) + 8 * ord(" ") != int(checksum, 8):
            return None
        name = bytes(buf[:_NAME_BYTES]).partition(b"\0")[0]
        if kind == tarfile.AREGTYPE and name.endswith(b"/"):
            kind = tarfile.DIRTYPE  # as in the oldest tars
        if kind == tarfile.DIRTYPE:
            name = name.rstrip(b"/")
        if prefix and magic == tarfile.POSIX_MAGIC:
            name = prefix + b"/" + name
        info = cls(name.decode(encoding, errors))
        info.mode, info.size, info.type = int(mode, 8), int(size, 8), kind
        info.linkname = link.decode(encoding, errors)
        return info


class _Tar:
    """Iterator over the members of a tar; each must be read before the next one."""

    def __init__(self, stream: ForwardFile, name: str, packed: int | None) -> None:
        self._stream = stream
        self._name = name
        self._packed = packed
        self._end_of_data: int | None = None

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        stream, begun = self._stream, False
        try:
            with tarfile.open(
                fileobj=cast("IO[bytes]", stream),
                mode="r:",
                tarinfo=_Header,
                encoding="utf-8",
                errors="surrogateescape",
            ) as tar:
                while (info := tar.next()) is not None:
                    # tarfile keeps every header; a million of them would fill the memory.
                    tar.members = []  # type: ignore[attr-defined]
                    if info.sparse is not None:
                        _correct_sparse(tar, info)
                    stream.begin_member()
                    begun = True
                    yield info
        except _BROKEN:
            said = "the tar is damaged" if begun else instead_of_tar(stream.header, self._name)
            raise ArchiveCorrupt(said) from None
        # tarfile treats the end of the bytes, or a damaged header, as the end of the tar.
        if stream.ended:
            raise ArchiveCorrupt("the tar ends without its end mark")
        if stream.header.strip(b"\0"):
            raise ArchiveCorrupt("the tar is damaged: where a member must begin is none")
        if not begun and stream.goes_on():
            raise ArchiveCorrupt(
                "this is not a tar: it begins with zeros, and goes on with something else, as the"
                " image of a disk does"
            )

    def member(
        self, info: tarfile.TarInfo, name: str, checker: MemberChecker
    ) -> tuple[Callable[[str], Member], Iterator[bytes]]:
        """Return the description of a regular file, as a function of its path, and its bytes."""
        executable = checker.executable(info.mode, name)
        if info.sparse is None:
            checker.check_declared(info.size, self._packed)
            piece = self._stream.at_once(info.size)
            whole = None if piece is None else iter([cast("bytes", piece)])
            content = whole or exactly(self._stream.stream(info.size), info.size, name)
        else:
            found = extents(info)
            checker.check_declared(info.size, self._packed, data_bytes(found))
            content = expanded(self._stream, found, info.size, name)
        is_sparse = info.sparse is not None
        described = partial(Member, executable=executable, size_bytes=info.size, sparse=is_sparse)
        return described, content


@contextmanager
def _read(readable: Readable, checker: MemberChecker, limits: UnpackLimits) -> Iterator[_Tar]:
    """Open the tar; at the end of the block, read the rest of the tar."""
    with readable.open() as chunks:
        packed = PackedBytes(chunks)
        pieces = unpacked(packed, limits.window_bytes)
        with prefetched(_limited(pieces, packed, checker)) as ahead:
            stream = ForwardFile(ahead)
            yield _Tar(stream, readable.name, readable.size_bytes)
            stream.drain()


def _take(tar: _Tar, info: tarfile.TarInfo, name: str, links: Links) -> None:
    if info.type == _VOLUME_LABEL:
        return
    if info.type in _FOLDERS:
        # Folders exist by the files in them; empty ones have no row.
        links.add_folder(name)
    elif info.islnk():
        links.hard(name, repaired(info.linkname))
    elif info.issym():
        links.symbolic(name, repaired(info.linkname))
    elif not _is_file(info):
        _leave_out(info, name, links.checker)
    elif (path := links.checker.target(name)) is None:
        links.pass_by(name)
    else:
        described, content = tar.member(info, name, links.checker)
        member = described(path)
        links.keep(member, content)
        links.add_file(name, member)


def _is_file(info: tarfile.TarInfo) -> bool:
    """Return whether the member is a regular file, or has an unknown type, which counts as one."""
    others = (*_FOLDERS, *_DEVICES, _CONTINUED, _VOLUME_LABEL)
    return info.type not in others and not info.islnk() and not info.issym()


def _leave_out(info: tarfile.TarInfo, name: str, checker: MemberChecker) -> None:
    if not checker.selects(name):
        return
    if info.type == _CONTINUED:
        raise ArchiveUnsafe(f"{shown(name)} begins in another volume of the tar")
    checker.notes.add("are devices or pipes, and are left out", name)


def _correct_sparse(tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
    """Set the next member's offset, and the name, as tarfile may use the wrong record for both.

    If a record of the stored size is beside one of the real size (8 GiB of data or more), tarfile
    expects the next member after as many bytes as the real size.
    """
    stored = sum(max(length, 0) for _, length in declared_extents(info))
    blocks = -(-stored // tarfile.BLOCKSIZE)
    tar.offset = info.offset_data + blocks * tarfile.BLOCKSIZE
    info.name = info.pax_headers.get("GNU.sparse.name", info.name)


def _limited(
    chunks: Iterator[bytes], packed: PackedBytes, checker: MemberChecker
) -> Generator[bytes, None, None]:
    for chunk in chunks:
        checker.add_unpacked(len(chunk), packed.count)
        yield chunk
