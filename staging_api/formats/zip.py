"""Unpack selected members of a zip by ranges: the whole zip is never fetched.

One member costs two requests: one for the last bytes, which contain the directory, and one for the
member's local header and data. Adjacent selected members share one stream. A member's CRC-32,
both its lengths and its header are checked against the directory; no request goes beyond the start
of the next member. A symbolic link is a short member, and is read to find its target.
"""

import stat
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial

from isal import isal_zlib

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe
from staging_api.formats.forward import ForwardFile
from staging_api.formats.links import Links
from staging_api.formats.members import MemberChecker, exactly
from staging_api.formats.model import Keep, Member, Readable, Select, UnpackLimits
from staging_api.formats.names import from_bytes, shown
from staging_api.formats.unpacking import pieces
from staging_api.formats.zip_directory import (
    LOCAL_BYTES,
    ZipEntry,
    check_local,
    is_encrypted,
    length_of_rest,
    read_directory,
)
from staging_api.formats.zip_methods import LZMA, METHODS, STORED
from staging_api.prefetch import prefetched

_MAX_LOCAL_EXTRA = 0xFFFF
#: Fetching this many unneeded bytes is faster than another request.
_WORTH_SKIPPING = 64 << 10
#: A member below this size is unpacked sooner than another thread starts.
_WORTH_A_THREAD = 1 << 20
#: Maximum length of a link's text in file systems.
_MAX_LINK_BYTES = 4096


def extract(readable: Readable, select: Select, keep: Keep, limits: UnpackLimits) -> Sequence[str]:
    """Unpack the selected members.

    Raises:
        ArchiveUnsafe: a member must not be unpacked.
        ArchiveCorrupt: the object is not a zip, is damaged or truncated.
        LimitExceeded: the zip unpacks to too much.
    """
    if readable.size_bytes is None:
        raise ArchiveCorrupt("the length of the zip is not known, so its end cannot be found")
    checker = MemberChecker(select, limits)
    members = _Members(readable, checker, limits)
    links = Links(checker, keep, members.text_of_link)
    for entry in read_directory(readable, readable.size_bytes, limits):
        if folder := members.add(entry):
            links.add_folder(folder)
    wanted = list(members.selected(links))
    for run in _runs(wanted):
        for (_, member), content in zip(run, members.contents(run), strict=True):
            keep(member, content)
    for name in filter(checker.selects, members.links):
        links.symbolic(name, members.text_of_link(name) or "")
    for name in links.settle():
        links.bring(name, *members.one(name))
    return checker.result()


@dataclass
class _Members:
    """The members of a zip, by name.

    Attributes:
        files: the regular files, in the order of their data.
        links: the symbolic links.
    """

    readable: Readable
    checker: MemberChecker
    limits: UnpackLimits
    files: dict[str, ZipEntry] = field(default_factory=dict)
    links: dict[str, ZipEntry] = field(default_factory=dict)
    _texts: dict[str, str] = field(default_factory=dict)
    _packed: int = 0

    def add(self, entry: ZipEntry) -> str | None:
        """Add an entry of the directory, unless a later one has its name; return a folder's name.

        Raises:
            ArchiveUnsafe: the name is not safe, and the member is selected.
            LimitExceeded: there are too many members.
        """
        name, kind = self.checker.check_name(entry.name), stat.S_IFMT(entry.mode)
        if not name or entry.replaced:
            return None
        if entry.name.endswith("/") or kind == stat.S_IFDIR:
            return name
        if kind == stat.S_IFLNK:
            self.links[name] = entry
        # A packed pipe with content has the bytes read from it: `tar c | zip out.zip -`.
        elif kind in (0, stat.S_IFREG) or (kind == stat.S_IFIFO and entry.size):
            self.files[name] = entry
        elif self.checker.selects(name):
            self.checker.notes.add("are devices or pipes, and are left out", name)
        return None

    def selected(self, links: Links) -> Iterator[tuple[ZipEntry, Member]]:
        """Yield the selected files, and record all files for the links to them.

        Raises:
            ArchiveUnsafe: a file cannot be unpacked.
            LimitExceeded: a file is too large.
        """
        for name, entry in self.files.items():
            path = self.checker.target(name)
            if path is None:
                links.pass_by(name)
                continue
            member = self._described(name, entry)(path)
            links.add_file(name, member)
            yield entry, member

    def one(self, name: str) -> tuple[Callable[[str], Member], Iterator[bytes]]:
        """Return the description of one file, and its bytes, which are fetched separately."""
        entry = self.files[name]
        return self._described(name, entry), self._fetched(entry)

    def text_of_link(self, name: str) -> str | None:
        """Return the text of a symbolic link; None: there is no such link."""
        if (text := self._texts.get(name)) is not None:
            return text
        if (entry := self.links.get(name)) is None:
            return None
        if entry.size <= _MAX_LINK_BYTES:
            self._described(name, entry)
            text = from_bytes(b"".join(self._fetched(entry)))
        # A text that is too long leads nowhere, like an empty one.
        self._texts[name] = text or ""
        return self._texts[name]

    def contents(self, run: list[tuple[ZipEntry, Member]]) -> Iterator[Iterator[bytes]]:
        """Yield the bytes of adjacent members; each must be read before the next one."""
        first, last = run[0][0], run[-1][0]
        with self.readable.open(first.offset, _end_of(last)) as chunks:
            stream = ForwardFile(iter(chunks), first.offset)
            for entry, _ in run:
                with closing(_content(stream, entry, self.checker, self.limits)) as content:
                    yield content

    def _fetched(self, entry: ZipEntry) -> Iterator[bytes]:
        with self.readable.open(entry.offset, _end_of(entry)) as chunks:
            stream = ForwardFile(iter(chunks), entry.offset)
            with closing(_content(stream, entry, self.checker, self.limits)) as content:
                yield from content

    def _described(self, name: str, entry: ZipEntry) -> Callable[[str], Member]:
        if is_encrypted(entry):
            raise ArchiveUnsafe(f"{shown(name)} is encrypted")
        if entry.method != STORED and entry.method not in METHODS:
            raise ArchiveCorrupt(
                f"{shown(name)} is packed by method {entry.method}, which is not supported"
            )
        self._packed += entry.packed
        self.checker.check_declared(entry.size, self._packed)
        executable = self.checker.executable(entry.mode, name)
        return partial(Member, executable=executable, size_bytes=entry.size)


def _runs(wanted: list[tuple[ZipEntry, Member]]) -> Iterator[list[tuple[ZipEntry, Member]]]:
    """Group members for which fetching the gaps between them is cheaper than separate requests."""
    run: list[tuple[ZipEntry, Member]] = []
    for entry, member in wanted:
        if run and entry.offset - run[-1][0].end > _WORTH_SKIPPING:
            yield run
            run = []
        run.append((entry, member))
    if run:
        yield run


def _end_of(entry: ZipEntry) -> int:
    """Return the latest possible end of the entry; only the local header has its own length."""
    header = LOCAL_BYTES + len(entry.raw_name) + _MAX_LOCAL_EXTRA
    return min(entry.end, entry.offset + header + entry.packed)


def _content(
    stream: ForwardFile, entry: ZipEntry, checker: MemberChecker, limits: UnpackLimits
) -> Generator[bytes, None, None]:
    """Yield the member's bytes; all checks are complete before the last bytes."""
    stream.begin_member()
    stream.seek(entry.offset)
    head = stream.read(LOCAL_BYTES)
    if stream.ended:
        raise ArchiveCorrupt("the zip is cut short")
    start = check_local(entry, head + stream.read(length_of_rest(head)))
    if entry.offset + start + entry.packed > entry.end:
        raise ArchiveUnsafe("members of the zip overlap")
    data = _checked(stream.stream(entry.packed), entry, checker, limits)
    if entry.packed < _WORTH_A_THREAD:
        yield from data
        return
    with prefetched(data) as pieces_ahead:
        yield from pieces_ahead


def _checked(
    packed: Iterator[bytes], entry: ZipEntry, checker: MemberChecker, limits: UnpackLimits
) -> Generator[bytes, None, None]:
    data = packed if entry.method == STORED else _unpacked(packed, entry, limits)
    so_far = checker.add_packed(entry.packed)
    crc = 0
    for piece in exactly(data, entry.size, entry.name):
        checker.add_unpacked(len(piece), so_far)
        crc = isal_zlib.crc32(piece, crc)
        yield piece
    if crc != entry.crc:
        raise ArchiveCorrupt(f"{shown(entry.name)} does not have its CRC-32")


def _unpacked(packed: Iterator[bytes], entry: ZipEntry, limits: UnpackLimits) -> Iterator[bytes]:
    unpacker = METHODS[entry.method](limits.window_bytes)
    size = 0
    for piece in pieces(unpacker, next(packed, b""), packed):
        yield piece
        size += len(piece)
        if entry.method == LZMA and size >= entry.size:
            return  # most LZMA members have no end mark
    if unpacker.unused_data or next(packed, b""):
        raise ArchiveCorrupt(f"{shown(entry.name)} has bytes after its end")
