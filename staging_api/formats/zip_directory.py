"""Read the directory of a zip from its last bytes, and verify it against the rest.

A zip stores most facts twice, in the directory at its end and before each member, and readers that
trust different copies see different files. Therefore the directory must be consistent with itself
and with the object, and `check_local` compares it with each local header. Members whose bytes
overlap, the trick of zips that unpack to petabytes, are refused while the directory is read.

As with unzip, the zip may be surrounded by other bytes: before it the program of a self-extractor,
whose length the offsets may include or not; after it padding or a signature. But if two directories
could both be the right one, the zip is refused.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from zlib import crc32

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, LimitExceeded
from staging_api.formats.model import Readable, UnpackLimits
from staging_api.formats.names import folded, from_bytes, shown
from staging_api.formats.recognising import HEAD_BYTES, instead_of_zip

#: Enough for the directory of a few hundred members, so one request is usually sufficient.
TAIL_BYTES = 16 << 10
LOCAL_BYTES = 30

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 0xFFFF
#: Maximum size of padding or a signature after the end record; unzip accepts slightly more.
_MAX_BEHIND = 64 << 10
_IN_ZIP64 = 0xFFFFFFFF
_ZIP64_FIELD = 1
#: Info-ZIP's Unicode path field: version, CRC-32 of the name that it replaces, name in UTF-8.
_UNICODE_PATH_FIELD = 0x7075
_UNICODE_PATH = struct.Struct("<BL")
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW = 0x0008
#: Flag bits for the compression effort: irrelevant to readers, and omitted in some local headers.
_EFFORT = 0x0006
_UTF8 = 0x0800
_DOS, _UNIX = 0, 3
#: Encoding of names in zips from DOS without another declaration.
_DOS_ENCODING = "cp437"


@dataclass(frozen=True)
class ZipEntry:
    """Directory entry of one member.

    Attributes:
        name: decoded name, not yet checked.
        raw_name: bytes of the name, to compare with the local header.
        flags: bit 0: encrypted; bit 3: sizes follow the data.
        method: compression method.
        crc: CRC-32 of the unpacked data.
        packed: number of packed bytes.
        size: number of unpacked bytes.
        offset: offset of the local header.
        mode: Unix file mode, 0 if the zip was not made on Unix.
        end: offset of the next member, or of the directory.
        replaced: whether a later entry has the same name.
    """

    name: str
    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int
    end: int = 0
    replaced: bool = False


def read_directory(readable: Readable, size: int, limits: UnpackLimits) -> list[ZipEntry]:
    """Read all entries, in the order of their data.

    Args:
        readable: the zip.
        size: length of the zip in bytes.
        limits: limits of the number of members and of the size of the directory.

    Raises:
        ArchiveCorrupt: the object is not a zip, or is inconsistent.
        ArchiveUnsafe: members overlap, or there are two directories.
        LimitExceeded: the directory is too long.
    """
    tail = _Tail(readable, size, TAIL_BYTES)
    found = _find_directory(tail)
    if found is None and size > TAIL_BYTES:  # a long comment or trailing bytes hide it
        tail = _Tail(readable, size, _END.size + _MAX_COMMENT + _MAX_BEHIND)
        found = _find_directory(tail)
    if found is None:
        with readable.open(0, min(size, HEAD_BYTES)) as head:
            raise ArchiveCorrupt(instead_of_zip(b"".join(head)))
    if found.count > limits.members:
        raise LimitExceeded(
            f"the zip has {found.count} members, over the {limits.members} that are allowed"
            " (STAGING_UNPACK_MEMBERS)"
        )
    if found.size > limits.header_bytes:
        raise LimitExceeded(
            f"the zip has a directory of {found.size} bytes, over the {limits.header_bytes} that"
            " are allowed (STAGING_UNPACK_HEADER_BYTES)"
        )
    entries = list(_entries(tail.read(found.offset, found.offset + found.size), found))
    return _bounded(entries, found.offset)


def length_of_rest(header: bytes) -> int:
    """Return the length of the name and extra fields after a local header."""
    return sum(_LOCAL.unpack(header)[-2:])


def check_local(entry: ZipEntry, header: bytes) -> int:
    """Compare a member's local header with the directory, and return the header's length.

    Raises:
        ArchiveCorrupt: there is no local header.
        ArchiveUnsafe: local header and directory contradict each other.
    """
    mark, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
        header[:LOCAL_BYTES]
    )
    if mark != b"PK\x03\x04":
        raise ArchiveCorrupt(f"{shown(entry.name)} is not where the zip's directory says")
    end_of_name = LOCAL_BYTES + int(name_length)
    free = ~(_UTF8 | _EFFORT)
    local = (flags & free, method, header[LOCAL_BYTES:end_of_name])
    expected = (entry.flags & free, entry.method, entry.raw_name)
    # Values that do not fit into 32 bits, or were not known when the header was written, are stored
    # elsewhere. Each field is checked separately, because some packers know the sizes in time, but
    # not the CRC.
    unknown = {_IN_ZIP64, 0} if entry.flags & _SIZES_FOLLOW else {_IN_ZIP64}
    fields = ((crc, entry.crc), (packed, entry.packed), (size, entry.size))
    same = all(here == there or here in unknown for here, there in fields)
    if local != expected or not same:
        raise ArchiveUnsafe(f"the zip describes {shown(entry.name)} in two contradictory ways")
    return end_of_name + int(extra_length)


def is_encrypted(entry: ZipEntry) -> bool:
    """Return whether the member, or its header, is encrypted."""
    return bool(entry.flags & _ENCRYPTED)


@dataclass(frozen=True)
class _Directory:
    """Location of the directory.

    Attributes:
        offset: offset of its first entry in the object.
        size: size in bytes.
        count: number of entries.
        shift: number to add to each offset: the length of a self-extractor's program.
        end: offset of the end of the end record with its comment.
    """

    offset: int
    size: int
    count: int
    shift: int
    end: int


class _Tail:
    """The last bytes of an object; earlier ones are fetched on demand."""

    def __init__(self, readable: Readable, size: int, tail_bytes: int) -> None:
        self._readable = readable
        self.size = size
        self.above = max(0, size - tail_bytes)
        self.bytes = self._fetched(self.above, size)

    def has(self, position: int) -> bool:
        """Return whether all bytes from this position on are in memory."""
        return position >= self.above

    def read(self, start: int, end: int) -> bytes:
        """Return the bytes from `start` up to `end`.

        Raises:
            ArchiveCorrupt: the object ends before `end`.
        """
        if self.has(start):
            return self.bytes[start - self.above : end - self.above]
        return self._fetched(start, end)

    def _fetched(self, start: int, end: int) -> bytes:
        with self._readable.open(start, end) as chunks:
            found = b"".join(chunks)
        if len(found) != end - start:
            raise ArchiveCorrupt("the zip is cut short")
        return found


def _find_directory(tail: _Tail) -> _Directory | None:
    """Find the end record in the last bytes, and the directory that it points to.

    The signature of an end record can also occur by chance, or in a zip inside this zip. A record
    counts if it points to a directory; if several do, the last one is used.

    Raises:
        ArchiveCorrupt: there is an end record, but it contradicts the file.
        ArchiveUnsafe: the end record is inside the comment of another one.
    """
    found: list[_Directory] = []
    wrong: ArchiveCorrupt | None = None
    at = len(tail.bytes)
    while (at := tail.bytes.rfind(b"PK\x05\x06", 0, at)) >= 0:
        try:
            found.append(_directory(tail, tail.above + at))
        except ArchiveCorrupt as error:
            wrong = wrong or error
    if not found:
        if wrong is not None:
            raise wrong
        return None
    if any(each.end == tail.size for each in found[1:]):
        raise ArchiveUnsafe("the zip has a second directory in its comment")
    return found[0]


def _directory(tail: _Tail, at: int) -> _Directory:
    record = tail.read(at, at + _END.size)
    if len(record) < _END.size:
        raise ArchiveCorrupt("the zip is cut short")
    _, disk, first_disk, here, count, length, offset, comment = _END.unpack(record)
    end = at + _END.size + comment
    if end > tail.size:
        raise ArchiveCorrupt("the comment of the zip is cut short")
    if (disk, first_disk, here) != (0, 0, count):
        raise ArchiveCorrupt("the zip is one part of several")
    located = _directory64(tail, at, end)
    if located is None:
        return _placed(tail, (offset, length, count), at, end)
    # Packers that do not know the sizes in advance write both records, and each says all.
    twice = (
        (count, located.count),
        (length, located.size),
        (offset, located.offset - located.shift),
    )
    if any(short not in (full, _IN_ZIP64, _MAX_COMMENT) for short, full in twice):
        raise ArchiveCorrupt("the zip's directory is not where its end record says")
    return located


def _placed(tail: _Tail, declared: tuple[int, int, int], above: int, end: int) -> _Directory:
    """Return the directory that ends at `above`, if there is one."""
    offset, length, count = declared
    start = above - length
    if start < offset:
        raise ArchiveCorrupt("the zip's directory is not where its end record says")
    # Entries outside the bytes in memory are checked when they are read: otherwise a thousand
    # signatures would cause a thousand requests.
    marked = not tail.has(start) or tail.read(start, start + 4) == b"PK\x01\x02"
    if bool(length) != bool(count) or (count and not marked):
        raise ArchiveCorrupt("the zip's directory is not where its end record says")
    return _Directory(start, length, count, start - offset, end)


def _directory64(tail: _Tail, end32: int, end: int) -> _Directory | None:
    """Follow the 64-bit end record, which precedes the 32-bit one."""
    if end32 < _END64_LOCATOR.size + _END64.size:
        return None
    at = end32 - _END64_LOCATOR.size
    mark, disk, offset, disks = _END64_LOCATOR.unpack(tail.read(at, end32))
    if mark != b"PK\x06\x07":
        return None
    begin = at - _END64.size
    if (disk, disks) != (0, 1) or offset > begin:
        raise ArchiveCorrupt("the zip's 64-bit end record is not where it must be")
    record = _END64.unpack(tail.read(begin, at))
    mark, _, _, _, disk, first_disk, here, count, length, start = record
    if (mark, disk, first_disk, here) != (b"PK\x06\x06", 0, 0, count):
        raise ArchiveCorrupt("the zip's directory is not where its 64-bit end record says")
    return _placed(tail, (start, length, count), begin, end)


def _entries(raw: bytes, found: _Directory) -> Iterator[ZipEntry]:
    at = 0
    for _ in range(found.count):
        if at + _ENTRY.size > len(raw) or raw[at : at + 4] != b"PK\x01\x02":
            raise ArchiveCorrupt("the zip's directory is damaged")
        fields = _ENTRY.unpack_from(raw, at)
        name_length, extra_length, comment_length = fields[10:13]
        end_of_name = at + _ENTRY.size + name_length
        end = end_of_name + extra_length + comment_length
        if end > len(raw):
            raise ArchiveCorrupt("the zip's directory is damaged")
        raw_name = raw[at + _ENTRY.size : end_of_name]
        entry = _entry(fields, raw_name, raw[end_of_name : end_of_name + extra_length])
        yield replace(entry, offset=entry.offset + found.shift)
        at = end
    if at != len(raw):
        raise ArchiveCorrupt("the zip's directory has more than its end record says")


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> ZipEntry:
    made_by, flags, method, crc, packed, size = (fields[i] for i in (1, 3, 4, 7, 8, 9))
    size, packed, offset = _sixty_four(extra, [size, packed, fields[16]])
    mode = fields[15] >> 16 if made_by >> 8 == _UNIX else 0
    name = _name(raw_name, extra, in_utf8=bool(flags & _UTF8), host=made_by >> 8)
    return ZipEntry(name, raw_name, flags, method, crc, packed, size, offset, mode)


def _name(raw: bytes, extra: bytes, *, in_utf8: bool, host: int) -> str:
    """Decode a name as Info-ZIP does: by its Unicode field, by its flag, or by the packer's system.

    UTF-8 without the flag comes from macOS; text in other encodings is practically never valid
    UTF-8.
    """
    field = _extra_field(extra, _UNICODE_PATH_FIELD)
    if not in_utf8 and len(field) > _UNICODE_PATH.size:
        version, checksum = _UNICODE_PATH.unpack_from(field)
        if version == 1 and checksum == crc32(raw):
            return from_bytes(field[_UNICODE_PATH.size :])
    name = from_bytes(raw, "cp1252" if host == _UNIX else _DOS_ENCODING)
    # Some packers on Windows do not convert their path separators.
    return name.replace("\\", "/") if host == _DOS and "/" not in name else name


def _sixty_four(extra: bytes, values: list[int]) -> list[int]:
    """Replace values that exceed 32 bits by those of the zip64 field, in its fixed order."""
    field = _extra_field(extra, _ZIP64_FIELD) if _IN_ZIP64 in values else b""
    for number, value in enumerate(values):
        if value == _IN_ZIP64:
            if len(field) < 8:  # noqa: PLR2004 - a 64-bit number
                raise ArchiveCorrupt("a zip entry lacks its 64-bit values")
            values[number] = int.from_bytes(field[:8], "little")
            field = field[8:]
    return values


def _extra_field(extra: bytes, wanted: int) -> bytes:
    at = 0
    while at + 4 <= len(extra):
        kind, length = struct.unpack_from("<2H", extra, at)
        if kind == wanted:
            return extra[at + 4 : at + 4 + length]
        at += 4 + length
    return b""


def _bounded(entries: list[ZipEntry], directory: int) -> list[ZipEntry]:
    """Sort the members by offset, and set the end of each to the start of the next.

    Raises:
        ArchiveCorrupt: a member would begin after the start of the directory.
        ArchiveUnsafe: members overlap.
    """
    last = {folded(entry.name): number for number, entry in enumerate(entries)}
    counted = set(last.values())
    # The directory may list the members in any order.
    numbers = sorted(range(len(entries)), key=lambda number: entries[number].offset)
    bounded, end = [], directory
    for number in reversed(numbers):
        entry = entries[number]
        if entry.offset > directory:
            raise ArchiveCorrupt(f"{shown(entry.name)} is not where the zip's directory says")
        if entry.offset + LOCAL_BYTES + len(entry.raw_name) + entry.packed > end:
            raise ArchiveUnsafe("members of the zip overlap")
        bounded.append(replace(entry, end=end, replaced=number not in counted))
        end = entry.offset
    return bounded[::-1]
