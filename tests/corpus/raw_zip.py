"""Zips byte by byte, as packers write them that the standard library does not resemble."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

UTF8, DESCRIPTOR = 0x0800, 0x0008
DOS, UNIX = 0, 3


@dataclass(frozen=True)
class RawMember:
    """One member, and how its two headers describe it.

    Attributes:
        name: its bytes, in both headers.
        content: unpacked.
        packed: as it stands in the zip; None: as `content`, stored.
        method: by which it was packed.
        flags: in both headers.
        host: of the packer: `DOS` or `UNIX`.
        mode: Unix mode.
        extra: extra field in the directory.
        local: CRC, packed size and size in the local header; None: the right ones.
        descriptor: whether they follow the data, too.
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
        """The local header, the data, and the descriptor."""
        facts = self.facts if self.local is None else self.local
        head = struct.pack(
            "<4s5H3L2H",
            *(b"PK\x03\x04", 20, self.flags, self.method, 0, 33, *facts, len(self.name), 0),
        )
        behind = struct.pack("<4s3L", b"PK\x07\x08", *self.facts) if self.descriptor else b""
        return head + self.name + self.data + behind

    def directory_bytes(self, offset: int) -> bytes:
        """The entry in the directory."""
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
    """A zip of these members.

    Args:
        members: in their order.
        before: stands in front, such as the program of a self-extractor.
        adjusted: whether the offsets count it.
        behind: stands behind the end record.
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
    """Info-ZIP's extra field 0x7075 for a name whose bytes are `raw`."""
    content = struct.pack("<BL", 1, zlib.crc32(raw)) + name.encode()
    return struct.pack("<2H", 0x7075, len(content)) + content
