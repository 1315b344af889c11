"""Pack files into one stream, as a tar or a zip, while they are read.

A file is opened only when its turn comes, and only one chunk of it is in memory. Equal files give
equal bytes: the stream contains no packing time, no owner and no host name.
"""

import stat
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import BinaryIO, Protocol

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PIECE_BYTES = 1 << 18
_GZIP = 31  # zlib: the largest window, with the header and checksum of gzip
_FAST = 1
#: The earliest year that zip can represent.
_FIRST_YEAR = 1980
_ZIP64_BYTES = 1 << 30


@dataclass(frozen=True)
class PackedFile:
    """A file to pack; `open` is called when its turn comes."""

    name: str
    size_bytes: int
    modified_at: datetime
    executable: bool
    open: Callable[[], BinaryIO]

    @property
    def mode(self) -> int:
        """File mode."""
        return 0o755 if self.executable else 0o644


class _Compressor(Protocol):
    """Common interface of the libraries' compressors."""

    def compress(self, data: bytes, /) -> bytes:
        """Return the output that is ready after these bytes."""

    def flush(self) -> bytes:
        """Return the end of the stream."""


def _tar(files: Iterable[PackedFile]) -> Iterator[bytes]:
    for file in files:
        info = tarfile.TarInfo(file.name)
        info.size, info.mode = file.size_bytes, file.mode
        info.mtime = int(file.modified_at.timestamp())
        yield info.tobuf(tarfile.PAX_FORMAT)
        yield from _pieces(file)
        yield bytes(-file.size_bytes % tarfile.BLOCKSIZE)
    yield bytes(2 * tarfile.BLOCKSIZE)


def _compressed(
    new: Callable[[], _Compressor],
) -> Callable[[Iterable[PackedFile]], Iterator[bytes]]:
    def pack(files: Iterable[PackedFile]) -> Iterator[bytes]:
        compressor = new()
        for piece in _tar(files):
            if ready := compressor.compress(piece):
                yield ready
        yield compressor.flush()

    return pack


def _zip(files: Iterable[PackedFile]) -> Iterator[bytes]:
    sink = _Sink()
    with zipfile.ZipFile(sink, "w") as packed:  # type: ignore[call-overload]  # it needs only write
        for file in files:
            # Always compressed: some readers refuse a stored member whose size follows the data.
            info = zipfile.ZipInfo(file.name, _zip_time(file.modified_at))
            info.compress_type = zipfile.ZIP_DEFLATED
            info._compresslevel = _FAST  # type: ignore[attr-defined]  # noqa: SLF001 - 3.13: public
            info.external_attr = (stat.S_IFREG | file.mode) << 16
            with packed.open(info, "w", force_zip64=file.size_bytes >= _ZIP64_BYTES) as member:
                for piece in _pieces(file):
                    member.write(piece)
                    yield from sink.taken(_PIECE_BYTES)
    yield from sink.taken(1)


#: Packing functions by the suffix of the stream's name.
PACKERS: Mapping[str, Callable[[Iterable[PackedFile]], Iterator[bytes]]] = {
    "tar": _tar,
    "tar.gz": _compressed(lambda: zlib.compressobj(_FAST, wbits=_GZIP)),
    "tar.zst": _compressed(zstd.ZstdCompressor),
    "zip": _zip,
}


class _Sink:
    """Buffer of written bytes; not seekable, so `zipfile` writes the sizes after each member."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def write(self, data: bytes) -> int:
        self._bytes += data
        return len(data)

    def flush(self) -> None:
        pass

    def taken(self, least_bytes: int) -> Iterator[bytes]:
        """Yield the whole buffer if it has at least `least_bytes`."""
        if len(self._bytes) >= least_bytes:
            yield bytes(self._bytes)
            self._bytes.clear()


def _pieces(file: PackedFile) -> Iterator[bytes]:
    with file.open() as stream:
        while piece := stream.read(_PIECE_BYTES):
            yield piece


def _zip_time(time: datetime) -> tuple[int, int, int, int, int, int]:
    at = time.astimezone(UTC)
    if at.year < _FIRST_YEAR:
        return (_FIRST_YEAR, 1, 1, 0, 0, 0)
    return (at.year, at.month, at.day, at.hour, at.minute, at.second)
