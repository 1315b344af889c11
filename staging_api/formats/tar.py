"""Unpack a tar, compressed or not, while its bytes arrive.

The standard library parses the headers, but from a forward-only stream; one header is in memory at
a time, and members' bytes go straight to `keep`. The whole object is read even if no later member
is selected, so that the compression's checksum and the declared digest cover all of it. It is read
once more if a selected link leads to a file that was not selected and has passed.

Members are taken as GNU tar takes them: an unknown type is a regular file, the entries of an
incremental dump are folders, and a volume label is no member.
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
#: From the mode to the end, with octal digits in all numbers: a file, a link or a folder.
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
    """Keep the selected members.

    Raises:
        ArchiveUnsafe: a member must not be unpacked.
        ArchiveCorrupt: not a tar, damaged or cut short.
        LimitExceeded: it unpacks to too much.
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
    """A header; the standard library takes the times that GNU tar writes into dumps for folders."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Read a header."""
        usual = cls._of_usual(buf, encoding, errors)
        if usual is not None:
            return usual
        info = super().frombuf(buf, encoding, errors)
        # Where a ustar header has the folders above, an old GNU header has times, or zeros.
        times = bytes(buf[_PREFIX]).partition(b"\0")[0]
        if buf[_MAGIC] == tarfile.GNU_MAGIC and times:
            info.name = info.name.removeprefix(times.decode(encoding, errors) + "/")
        return info

    @classmethod
    def _of_usual(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self | None:
        """Read what is used of a header whose fields have their usual form; None: they have not.

        The standard library reads a header of any form, field by field: that took more than half
        of the time that an archive of many small files takes.
        """
        found = _USUAL.match(buf, _NAME_BYTES)
        if found is None or len(buf) != tarfile.BLOCKSIZE:
            return None
        mode, size, checksum, kind, link, magic, prefix = found.groups()
        # The field of the checksum counts as eight spaces.
        if sum(buf) - sum(buf[_CHECKSUM]) + 8 * ord(" ") != int(checksum, 8):
            return None
        name = bytes(buf[:_NAME_BYTES]).partition(b"\0")[0]
        if kind == tarfile.AREGTYPE and name.endswith(b"/"):
            kind = tarfile.DIRTYPE  # as the oldest tars have it
        if kind == tarfile.DIRTYPE:
            name = name.rstrip(b"/")
        if prefix and magic == tarfile.POSIX_MAGIC:
            name = prefix + b"/" + name
        info = cls(name.decode(encoding, errors))
        info.mode, info.size, info.type = int(mode, 8), int(size, 8), kind
        info.linkname = link.decode(encoding, errors)
        return info


class _Tar:
    """The members of a tar, one after another; each is read before the next one."""

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
                    # tarfile remembers every header; a million of them would fill the memory.
                    tar.members = []  # type: ignore[attr-defined]
                    if info.sparse is not None:
                        _correct_sparse(tar, info)
                    stream.begin_member()
                    begun = True
                    yield info
        except _BROKEN:
            said = "the tar is damaged" if begun else instead_of_tar(stream.header, self._name)
            raise ArchiveCorrupt(said) from None
        # tarfile takes the end of the bytes, and a damaged header, for the end of the tar.
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
        """Return what a regular file is kept as at a path, and its bytes."""
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
    """Open the tar; what the block leaves of it is read when it ends."""
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
        # They exist by the files in them; empty ones have no row.
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
    """Whether it is a regular file, or of an unknown type, which counts as one."""
    others = (*_FOLDERS, *_DEVICES, _CONTINUED, _VOLUME_LABEL)
    return info.type not in others and not info.islnk() and not info.issym()


def _leave_out(info: tarfile.TarInfo, name: str, checker: MemberChecker) -> None:
    if not checker.selects(name):
        return
    if info.type == _CONTINUED:
        raise ArchiveUnsafe(f"{shown(name)} begins in another volume of the tar")
    checker.notes.add("are devices or pipes, and are left out", name)


def _correct_sparse(tar: tarfile.TarFile, info: tarfile.TarInfo) -> None:
    """Set where the next member begins, and the name; tarfile may take the wrong record for both.

    It looks for the next member behind as many bytes as the file has, where a record of the stored
    size stands beside one of the real size (8 GiB of data or more).
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
