"""Read the directory of a zip from its last bytes, and verify it against the rest.

A zip holds most facts twice, in the directory at its end and before each member, and readers that
believe different copies see different files. So the directory must be consistent with itself and
with the object, and `check_local` compares it with each local header. Members whose bytes overlap,
the trick of zips that unpack to petabytes, are refused while the directory is read.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from staging_api.errors import ArchiveCorrupt, ArchiveUnsafe, LimitExceeded
from staging_api.formats.members import shown
from staging_api.formats.model import Limits, Readable

#: Enough for the directory of some hundred members, so that one request usually suffices.
TAIL_BYTES = 16 << 10
LOCAL_BYTES = 30

_END = struct.Struct("<4s4H2LH")
_END64_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_ENTRY = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_MAX_COMMENT = 0xFFFF
_IN_ZIP64 = 0xFFFFFFFF
_ZIP64_FIELD = 1
_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW = 0x0008
_UTF8 = 0x0800
_UNIX = 3


@dataclass(frozen=True)
class Entry:
    """The directory's description of one member.

    Attributes:
        name: not yet checked.
        raw_name: its bytes, to compare with the local header.
        flags: bit 0: encrypted; bit 3: sizes follow the data.
        method: compression method.
        crc: CRC-32 of the unpacked data.
        packed: packed bytes.
        size: unpacked bytes.
        offset: of its local header.
        mode: Unix file mode, 0 if the zip does not come from Unix.
        end: where the next member, or the directory, begins.
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


@dataclass(frozen=True)
class _Directory:
    offset: int
    size: int
    count: int


def read_directory(readable: Readable, size: int, limits: Limits) -> list[Entry]:
    """Read all entries, in the order of their data.

    Args:
        readable: the zip.
        size: its length in bytes.
        limits: of members and of the directory's own length.

    Raises:
        ArchiveCorrupt: not a zip, or inconsistent.
        ArchiveUnsafe: members overlap.
        LimitExceeded: the directory is too long.
    """
    tail = _read(readable, max(0, size - TAIL_BYTES), size)
    at = _find_end(tail)
    if at < 0 and size > TAIL_BYTES:  # a long comment hides it
        tail = _read(readable, max(0, size - _END.size - _MAX_COMMENT), size)
        at = _find_end(tail)
    if at < 0:
        raise ArchiveCorrupt("this is not a zip: it has no directory")
    found = _directory(readable, tail, at, size)
    if found.count > limits.members or found.size > limits.header_bytes:
        raise LimitExceeded("the zip has too long a directory")
    start = found.offset - (size - len(tail))
    raw = tail[start : start + found.size] if start >= 0 else b""
    if start < 0:
        raw = _read(readable, found.offset, found.offset + found.size)
    return _bounded(list(_entries(raw, found.count)), found.offset)


def length_of_rest(header: bytes) -> int:
    """Return the length of the name and extra fields after a local header."""
    return sum(_LOCAL.unpack(header)[-2:])


def check_local(entry: Entry, header: bytes) -> int:
    """Compare a member's local header with the directory, and return the header's length.

    Raises:
        ArchiveUnsafe: the two contradict each other.
    """
    mark, _, flags, method, _, _, crc, packed, size, name_length, extra_length = _LOCAL.unpack(
        header[:LOCAL_BYTES]
    )
    end_of_name = LOCAL_BYTES + int(name_length)
    local = (mark, flags & ~_UTF8, method, header[LOCAL_BYTES:end_of_name])
    expected = (b"PK\x03\x04", entry.flags & ~_UTF8, entry.method, entry.raw_name)
    later = bool(entry.flags & _SIZES_FOLLOW) and (crc, packed, size) == (0, 0, 0)
    # Sizes that do not fit 32 bits, or were not known in time, stand elsewhere.
    fields = ((crc, entry.crc), (packed, entry.packed), (size, entry.size))
    same = all(here in (there, _IN_ZIP64) for here, there in fields)
    if local != expected or not (later or same):
        raise ArchiveUnsafe(f"the zip describes {shown(entry.name)} in two contradictory ways")
    return end_of_name + int(extra_length)


def is_encrypted(entry: Entry) -> bool:
    """Whether the member, or its header, is encrypted."""
    return bool(entry.flags & _ENCRYPTED)


def _read(readable: Readable, start: int, end: int) -> bytes:
    with readable.open(start, end) as chunks:
        found = b"".join(chunks)
    if len(found) != end - start:
        raise ArchiveCorrupt("the zip is cut short")
    return found


def _find_end(tail: bytes) -> int:
    """Return where the end record begins: the last one whose comment ends with the file."""
    # A mark inside a comment would offer a second directory; its record does not end with the file.
    at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
    comment = int(_END.unpack_from(tail, at)[-1]) if at >= 0 else 0
    if at >= 0 and at + _END.size + comment != len(tail):
        raise ArchiveCorrupt("the zip's end record does not end the file")
    return at


def _directory(readable: Readable, tail: bytes, at: int, size: int) -> _Directory:
    _, disk, first_disk, here, count, length, offset, _ = _END.unpack_from(tail, at)
    end = size - len(tail) + at
    if (disk, first_disk, here) != (0, 0, count):
        raise ArchiveCorrupt("the zip is one part of several")
    if _IN_ZIP64 in (offset, length) or count == _MAX_COMMENT:
        located = _directory64(readable, end)
        if located is not None:
            return located
    if offset + length != end:
        raise ArchiveCorrupt("the zip's directory is not where its end record says")
    return _Directory(offset, length, count)


def _directory64(readable: Readable, end: int) -> _Directory | None:
    """Follow the 64-bit end record, which stands before the 32-bit one."""
    if end < _END64_LOCATOR.size + _END64.size:
        return None
    at = end - _END64_LOCATOR.size
    mark, disk, offset, disks = _END64_LOCATOR.unpack(_read(readable, at, end))
    if mark != b"PK\x06\x07":
        return None
    if (disk, disks) != (0, 1) or offset + _END64.size != at:
        raise ArchiveCorrupt("the zip's 64-bit end record is not where it must be")
    record = _END64.unpack(_read(readable, offset, at))
    mark, _, _, _, disk, first_disk, here, count, length, start = record
    if (mark, disk, first_disk, here) != (b"PK\x06\x06", 0, 0, count) or start + length != offset:
        raise ArchiveCorrupt("the zip's directory is not where its 64-bit end record says")
    return _Directory(start, length, count)


def _entries(raw: bytes, count: int) -> Iterator[Entry]:
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(raw) or raw[at : at + 4] != b"PK\x01\x02":
            raise ArchiveCorrupt("the zip's directory is damaged")
        fields = _ENTRY.unpack_from(raw, at)
        name_length, extra_length, comment_length = fields[10:13]
        end_of_name = at + _ENTRY.size + name_length
        end = end_of_name + extra_length + comment_length
        if end > len(raw):
            raise ArchiveCorrupt("the zip's directory is damaged")
        raw_name = raw[at + _ENTRY.size : end_of_name]
        yield _entry(fields, raw_name, raw[end_of_name : end_of_name + extra_length])
        at = end
    if at != len(raw):
        raise ArchiveCorrupt("the zip's directory has more than its end record says")


def _entry(fields: tuple[int, ...], raw_name: bytes, extra: bytes) -> Entry:
    made_by, flags, method, crc, packed, size = (fields[i] for i in (1, 3, 4, 7, 8, 9))
    size, packed, offset = _sixty_four(extra, [size, packed, fields[16]])
    mode = fields[15] >> 16 if made_by >> 8 == _UNIX else 0
    try:
        name = raw_name.decode("utf-8" if flags & _UTF8 else "cp437")
    except UnicodeDecodeError:
        raise ArchiveUnsafe("a member's name is not the UTF-8 it claims to be") from None
    return Entry(name, raw_name, flags, method, crc, packed, size, offset, mode)


def _sixty_four(extra: bytes, values: list[int]) -> list[int]:
    """Replace what did not fit 32 bits by the values of the zip64 field, in its fixed order."""
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


def _bounded(entries: list[Entry], directory: int) -> list[Entry]:
    """Order the members by offset, and let each end where the next begins."""
    # The directory may list them in any order.
    entries.sort(key=lambda entry: entry.offset)
    ends = [*(entry.offset for entry in entries[1:]), directory]
    for entry, end in zip(entries, ends, strict=False):
        if entry.offset + LOCAL_BYTES + len(entry.raw_name) + entry.packed > end:
            raise ArchiveUnsafe("members of the zip overlap")
    bounded = zip(entries, ends, strict=False)
    return [Entry(**{**entry.__dict__, "end": end}) for entry, end in bounded]
