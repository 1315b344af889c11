"""Minidumps of a crash, as small as the format permits."""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

_HEADER, _STREAM, _MODULE = struct.Struct("<4sIIIIIQ"), struct.Struct("<III"), 108
_THREAD_LIST, _MODULE_LIST = 3, 4


@dataclass(frozen=True)
class Loaded:
    """A module of the crashed process: its path there, and its debug record."""

    path: str
    record: bytes


def elf(path: str, build_id: bytes) -> Loaded:
    """Return a library of Linux."""
    return Loaded(path, b"LEpB" + build_id)


def pdb(path: str, guid: bytes, age: int, pdb_path: str) -> Loaded:
    """Return a library of Windows, or one that Breakpad describes in the same form."""
    return Loaded(path, b"RSDS" + guid + struct.pack("<I", age) + pdb_path.encode() + b"\0")


def minidump(modules: Sequence[Loaded]) -> bytes:
    """Return a dump whose process had loaded these modules."""
    list_at = _HEADER.size + 2 * _STREAM.size
    list_size = 4 + _MODULE * len(modules)
    rest, entries = b"", []
    for module in modules:
        name = module.path.encode("utf-16-le")
        name_at = list_at + list_size + len(rest)
        rest += struct.pack("<I", len(name)) + name + b"\0\0"
        record_at = list_at + list_size + len(rest)
        rest += module.record
        entries.append(
            struct.pack("<QIIII", 0x1000, 0x2000, 0, 0, name_at)
            + bytes(52)
            + struct.pack("<IIII", len(module.record), record_at, 0, 0)
            + bytes(16)
        )
    return b"".join(
        (
            _HEADER.pack(b"MDMP", 0xA793, 2, _HEADER.size, 0, 0, 0),
            _STREAM.pack(_THREAD_LIST, 0, 0),
            _STREAM.pack(_MODULE_LIST, list_size, list_at),
            struct.pack("<I", len(modules)),
            *entries,
            rest,
        )
    )
