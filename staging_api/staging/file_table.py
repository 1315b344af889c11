"""The files of one artifact so far, by path: a million of them in little memory."""

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from staging_api.name_table import NameTable
from staging_api.staging.fetched import StagedFile
from staging_api.store.blobs import Blob

#: Digest, length, mode, offset in the pack; an offset below zero: the file is a blob of its own.
_ROW = struct.Struct("<32sq?q")
#: Up to this number, the files are returned as a tuple.
_FEW = 1000


class FileFacts(NamedTuple):
    """The facts of a file without its path: digest, length, mode, and its offset in a pack."""

    digest: bytes
    size_bytes: int
    executable: bool
    offset: int | None


class FileTable:
    """Files by their paths; iterated in the bytewise order of their paths."""

    def __init__(self, folder: Path) -> None:
        """Make an empty table; a large one stores its rows in a file in this folder."""
        self._rows = NameTable(folder)
        self._pack: Blob | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[StagedFile]:
        for path, row in self._rows.items():
            digest, size, executable, offset = _facts(row)
            place = None if self._pack is None else offset
            yield StagedFile(path, digest.hex(), size, executable, place)

    def __contains__(self, path: object) -> bool:
        return isinstance(path, str) and path in self._rows

    def add(self, path: str, file: FileFacts) -> None:
        """Add a file; it replaces an earlier one at its path."""
        digest, size, executable, offset = file
        self._rows[path] = _ROW.pack(digest, size, executable, -1 if offset is None else offset)

    def find(self, path: str) -> FileFacts:
        """Return the file at a path.

        Raises:
            KeyError: there is no file at this path.
        """
        row = self._rows.get(path)
        if row is None:
            raise KeyError(path)
        return _facts(row)

    def ends(self) -> tuple[str, str]:
        """Return the first and the last path; both are empty if there is no file."""
        return self._rows.ends()

    def remove(self, path: str) -> None:
        """Remove the file at a path."""
        self._rows.pop(path)

    def finished(self, pack: Blob | None) -> Collection[StagedFile]:
        """Return all files, after the last one was added.

        Args:
            pack: the pack; None: files with an offset are blobs of their own.
        """
        self._pack = pack
        return tuple(self) if len(self) <= _FEW else self


def _facts(row: bytes) -> FileFacts:
    digest, size, executable, offset = _ROW.unpack(row)
    return FileFacts(digest, size, executable, offset if offset >= 0 else None)
