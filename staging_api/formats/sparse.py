"""Sparse members of a tar: the data of their extents, with zeros in the holes between.

`tarfile` parses the extent map of every dialect (GNU's own, and PAX 0.0, 0.1 and 1.0), but not the
data: the extents follow each other in the order of the map, and are padded together.
"""

import tarfile
from collections.abc import Iterator
from typing import cast

from staging_api.errors import ArchiveCorrupt
from staging_api.formats.forward import ForwardFile
from staging_api.formats.members import exactly
from staging_api.formats.names import shown

#: A chunk of a hole. A store recognises a hole by zeros of this length, or fewer at its end.
_ZEROS = bytes(1 << 20)

Extents = list[tuple[int, int]]


def extents(info: tarfile.TarInfo) -> Extents:
    """Return offset and length of each extent with data, in their order.

    Raises:
        ArchiveCorrupt: extents overlap, or lie beyond the end of the file.
    """
    found = [(offset, length) for offset, length in declared_extents(info) if length]
    end = 0
    for offset, length in found:
        if offset < end or length < 0:
            raise ArchiveCorrupt(f"the map of the sparse file {shown(info.name)} is damaged")
        end = offset + length
    if end > info.size:
        raise ArchiveCorrupt(f"the map of the sparse file {shown(info.name)} exceeds its size")
    return found


def declared_extents(info: tarfile.TarInfo) -> Extents:
    """Return the extents as declared in the headers."""
    return cast("Extents", info.sparse or [])


def data_bytes(found: Extents) -> int:
    """Return the number of bytes of data in these extents."""
    return sum(length for _, length in found)


def expanded(stream: ForwardFile, found: Extents, size: int, name: str) -> Iterator[bytes]:
    """Yield the bytes of the file, including holes.

    Raises:
        ArchiveCorrupt: the data ends too early.
    """
    at = 0
    for offset, length in found:
        yield from _hole(offset - at)
        yield from exactly(stream.stream(length), length, name)
        at = offset + length
    yield from _hole(size - at)


def _hole(length: int) -> Iterator[bytes]:
    whole, rest = divmod(length, len(_ZEROS))
    for _ in range(whole):
        yield _ZEROS
    if rest:
        yield _ZEROS[:rest]
