"""Zips built byte by byte, in forms that packers write and the standard library does not."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

UTF8, DESCRIPTOR = 0x0800, 0x0008
DOS, UNIX = 0, 3


@dataclass(frozen=True)
class RawMember:
    """A member, and its description in two headers.

    Attributes:
        name: bytes of its name, in both headers.
        content: unpacked content.
        packed: bytes in the zip; None: `content`, stored.
        method: number of the compression method.
        flags: general-purpose flags, in both headers.
        host: system of the packer: `DOS` or `UNIX`.
        mode: Unix mode.
        extra: extra field in the directory.
        local: CRC, packed size and size in the local header; None: the correct values.
        descriptor: whether a data descriptor repeats these values behind the data.
    """

    name: bytes
    content: bytes = b""
    packed: bytes | None = None
    method: int = 0
    flags: int = 0
    host: int = UNIX
    mode: int = 0o100644
    extra: bytes = b""
    local: tuple[int, int, int] | None = None
    descriptor: bool = False

    @property
    def data(self) -> bytes:
        return self.content if self.packed is None else self.packed

    @property
    def facts(self) -> tuple[int, int, int]:
        return zlib.crc32(self.content), len(self.data), len(self.content)

    def local_bytes(self) -> bytes:
        """Return the local header, the data, and the descriptor."""
        facts = self.facts if self.local is None else self.local
        head = struct.pack(
            "<4s5H3L2H",
            *(b"PK\x03\x04", 20, self.flags, self.method, 0, 33, *facts, len(self.name), 0),
        )
        behind = struct.pack("<4s3L", b"PK\x07\x08", *self.facts) if self.descriptor else b""
        return head + self.name + self.data + behind

    def directory_bytes(self, offset: int) -> bytes:
        """Return the entry in the central directory."""
        made_by, lengths = self.host << 8 | 30, (len(self.name), len(self.extra), 0)
        return (
            struct.pack(
                "<4s6H3L5H2L",
                *(b"PK\x01\x02", made_by, 20, self.flags, self.method, 0, 33),
                *self.facts,
                *(*lengths, 0, 0, self.mode << 16, offset),
            )
            + self.name
            + self.extra
        )


def raw_zip(
    members: Sequence[RawMember], *, before: bytes = b"", adjusted: bool = True, behind: bytes = b""
) -> bytes:
    """Return a zip of these members.

    Args:
        members: the members, in order.
        before: bytes in front, such as the program of a self-extractor.
        adjusted: whether the offsets include `before`.
        behind: bytes behind the end record.
    """
    data, offsets = before, []
    for member in members:
        offsets.append(len(data))
        data += member.local_bytes()
    shift = 0 if adjusted else len(before)
    entries = [m.directory_bytes(at - shift) for m, at in zip(members, offsets, strict=True)]
    directory = b"".join(entries)
    end = struct.pack(
        "<4s4H2LH",
        *(b"PK\x05\x06", 0, 0, len(members), len(members)),
        *(len(directory), len(data) - shift, 0),
    )
    return data + directory + end + behind


def unicode_path(raw: bytes, name: str) -> bytes:
    """Return Info-ZIP's extra field 0x7075 for a name whose bytes are `raw`."""
    content = struct.pack("<BL", 1, zlib.crc32(raw)) + name.encode()
    return struct.pack("<2H", 0x7075, len(content)) + content
