"""Read the modules that a crashed process had loaded from its minidump.

The format is Microsoft's (MINIDUMP_HEADER and MINIDUMP_MODULE, ``minidumpapiset.h``); debug
identifiers are written like Breakpad's (``google_breakpad/common/minidump_format.h``). A dump comes
from a crashed device, so no offset in it can be trusted.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from staging_api.errors import Invalid

_SIGNATURE = 0x504D444D  # MDMP
_MODULE_LIST = 4
_HEADER = struct.Struct("<IIII")
_DIRECTORY = struct.Struct("<III")
_COUNT = struct.Struct("<I")
#: Fields of MINIDUMP_MODULE: offset of its name, length and offset of its debug record.
_MODULE = struct.Struct("<20xI52xII24x")
_GUID = struct.Struct("<IHH8s")
_PDB70, _ELF = b"RSDS", b"LEpB"
_MOST_STREAMS, _MOST_MODULES, _MOST_NAME_BYTES, _MOST_RECORD_BYTES = 128, 4096, 2048, 4096


@dataclass(frozen=True)
class Module:
    """A library or program: its file name, and the identifier that its symbols are stored under."""

    name: str
    debug_id: str

    @property
    def symbol_path(self) -> str:
        """Path of its file in a tree of Breakpad symbols."""
        return f"{self.name}/{self.debug_id}/{self.name.removesuffix('.pdb')}.sym"


def modules(dump: Path) -> list[Module]:
    """Return the modules that have an identifier.

    Raises:
        Invalid: the file is not a minidump.
    """
    with dump.open("rb") as file:
        try:
            return [module for at in _module_places(file) if (module := _module(file, at))]
        except (struct.error, OverflowError):
            raise Invalid.field("minidump", "is not a whole minidump") from None


def _module_places(file: BinaryIO) -> Iterator[int]:
    signature, _version, streams, directory = _HEADER.unpack(_at(file, 0, _HEADER.size))
    if signature != _SIGNATURE:
        raise Invalid.field("minidump", "is not a minidump")
    for number in range(min(streams, _MOST_STREAMS)):
        entry = _at(file, directory + number * _DIRECTORY.size, _DIRECTORY.size)
        kind, _size, place = _DIRECTORY.unpack(entry)
        if kind == _MODULE_LIST:
            (count,) = _COUNT.unpack(_at(file, place, _COUNT.size))
            first = place + _COUNT.size
            yield from (first + i * _MODULE.size for i in range(min(count, _MOST_MODULES)))


def _module(file: BinaryIO, at: int) -> Module | None:
    name_at, record_size, record_at = _MODULE.unpack(_at(file, at, _MODULE.size))
    (name_size,) = _COUNT.unpack(_at(file, name_at, _COUNT.size))
    raw = _at(file, name_at + _COUNT.size, min(name_size, _MOST_NAME_BYTES))
    record = _at(file, record_at, min(record_size, _MOST_RECORD_BYTES))
    name, debug_id = raw.decode("utf-16-le", errors="replace"), _debug_id(record)
    # Breakpad stores symbols under the name in the debug record, if the record has one.
    base = (_debug_name(record) or name).replace("\\", "/").rpartition("/")[2]
    return Module(base, debug_id) if debug_id and base not in ("", ".", "..") else None


def _debug_id(record: bytes) -> str | None:
    kind, rest = record[:4], record[4:]
    if kind == _PDB70 and len(rest) >= _GUID.size + _COUNT.size:
        (age,) = _COUNT.unpack_from(rest, _GUID.size)
        return f"{_guid(rest)}{age:X}"
    if kind == _ELF and rest:
        # The first 16 bytes of a build id are read as a GUID; there is no age.
        return f"{_guid(rest.ljust(_GUID.size, bytes(1)))}0"
    return None


def _debug_name(record: bytes) -> str:
    if record[:4] != _PDB70:
        return ""
    return record[4 + _GUID.size + _COUNT.size :].partition(b"\0")[0].decode(errors="replace")


def _guid(raw: bytes) -> str:
    first, second, third, last = _GUID.unpack_from(raw)
    return f"{first:08X}{second:04X}{third:04X}{last.hex().upper()}"


def _at(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    return file.read(size)
