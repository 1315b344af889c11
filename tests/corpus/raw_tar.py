"""Tars built byte by byte, in forms that programs write and the standard library does not."""

import struct
import tarfile
from typing import Final

from backports import zstd

from tests.archives import header, tar_of

GNU: Final = tarfile.GNU_FORMAT
USTAR: Final = tarfile.USTAR_FORMAT
BLOCK = 512
END = bytes(1024)


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def raw_named(name: bytes, content: bytes = b"1") -> bytes:
    """Return a tar with a member whose name has these bytes."""
    info = tarfile.TarInfo("X" * len(name))
    info.size = len(content)
    head = bytearray(info.tobuf(USTAR))
    head[: len(name)] = name
    return summed(head) + padded(content) + END


def summed(head: bytearray) -> bytes:
    """Return a header with its checksum."""
    head[148:156] = b" " * 8
    head[148:156] = b"%06o\0 " % sum(head)
    return bytes(head)


def old_sparse(name: str, extents: list[tuple[int, bytes]], size: int) -> bytes:
    """Return a sparse member in GNU's old format: a map in the header, and in extension headers."""
    data = b"".join(content for _, content in extents)
    info = tarfile.TarInfo(name)
    info.size, info.type = len(data), tarfile.GNUTYPE_SPARSE
    head = bytearray(info.tobuf(GNU))
    pairs = [b"%011o\0%011o\0" % (at, len(content)) for at, content in extents]
    pairs.append(b"%011o\0%011o\0" % (size, 0))
    head[386:482] = b"".join(pairs[:4]).ljust(96, b"\0")
    head[482] = len(pairs) > 4
    head[483:495] = b"%011o\0" % size
    more, pairs = b"", pairs[4:]
    while pairs:
        more += b"".join(pairs[:21]).ljust(504, b"\0") + bytes([len(pairs) > 21]) + bytes(7)
        pairs = pairs[21:]
    return summed(head) + more + padded(data)


def pax_record(key: str, value: object) -> bytes:
    rest = f" {key}={value}\n".encode()
    length = len(rest) + 1
    while len(str(length)) + len(rest) != length:
        length = len(str(length)) + len(rest)
    return str(length).encode() + rest


def pax_sparse(name: str, extents: list[tuple[int, bytes]], size: int, version: str) -> bytes:
    """Return a sparse member in one of the three PAX formats."""
    data = b"".join(content for _, content in extents)
    pairs = [*((at, len(content)) for at, content in extents), (size, 0)]
    numbers = [str(number) for pair in pairs for number in pair]
    stored_name, records = name, b""
    described = pax_record("GNU.sparse.size", size)
    described += pax_record("GNU.sparse.numblocks", len(pairs))
    if version == "0.0":
        records = pax_record("GNU.sparse.size", size) + pax_record(
            "GNU.sparse.numblocks", len(pairs)
        )
        for at, length in pairs:
            records += pax_record("GNU.sparse.offset", at) + pax_record(
                "GNU.sparse.numbytes", length
            )
    else:
        stored_name = f"GNUSparseFile.1/{name}"
        records = pax_record("GNU.sparse.name", name)
    if version == "0.1":
        records += pax_record("GNU.sparse.size", size) + pax_record(
            "GNU.sparse.numblocks", len(pairs)
        )
        records += pax_record("GNU.sparse.map", ",".join(numbers))
    if version == "1.0":
        records += pax_record("GNU.sparse.major", 1) + pax_record("GNU.sparse.minor", 0)
        records += pax_record("GNU.sparse.realsize", size)
        data = padded("\n".join([str(len(pairs)), *numbers, ""]).encode()) + data
    extended = tarfile.TarInfo("PaxHeaders/x")
    extended.type, extended.size = tarfile.XHDTYPE, len(records)
    info = tarfile.TarInfo(stored_name)
    info.size = len(data)
    return extended.tobuf(USTAR) + padded(records) + info.tobuf(USTAR) + padded(data)


def typed(kind, name="odd", content=b""):
    """Return a member of this type, without the end mark of the tar."""
    info = header(name, kind)
    info.size = len(content)
    return info.tobuf(GNU) + padded(content)


def appended(first, second):
    """Return a tar to which ``tar rf`` appended members."""
    return tar_of(*first).rstrip(b"\0").ljust(
        -(-len(tar_of(*first).rstrip(b"\0")) // BLOCK) * BLOCK, b"\0"
    ) + tar_of(*second)


def with_skippable(data: bytes) -> bytes:
    """Return the data compressed like by pzstd: a skippable frame before each frame."""
    parts = [zstd.compress(data[:700]), zstd.compress(data[700:])]
    return b"".join(
        struct.pack("<4sLL", b"\x50\x2a\x4d\x18", 4, len(part)) + part for part in parts
    )
