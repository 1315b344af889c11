"""Decompress while the bytes arrive, in bounded pieces.

The first bytes decide about the compression, not a name: builders switch from bzip2 to zstd under
the old name. Several compressed streams in a row count as one, as gzip, bzip2, xz and zstd define;
only zero padding may follow the last one.
"""

import bz2
import lzma
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

from isal import igzip_lib

from staging_api.errors import ArchiveCorrupt

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Size of a decompressed piece: large enough to be cheap, small enough to count limits by.
PIECE_BYTES = 1 << 20
#: An xz stream may ask for a window of 4 GiB; ``xz -9`` uses 64 MiB.
_XZ_MEMORY_BYTES = 256 << 20
#: zstd's own limit without ``--long``, as a power of two.
_ZSTD_WINDOW_LOG = 27
# The library's stub gives an instance where the class stands.
_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_BROKEN = (OSError, EOFError, ValueError, lzma.LZMAError, _ISAL_ERROR, zstd.ZstdError)


class Unpacker(Protocol):
    """The common interface of the standard library's decompressors."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more input is needed before more output can come."""

    @property
    def unused_data(self) -> bytes:
        """Input beyond the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return at most `max_length` bytes of output."""


def new_zstd() -> Unpacker:
    """Return a zstd decompressor with zstd's own default limit of memory."""
    window = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
    return zstd.ZstdDecompressor(options=window)


def _gzip() -> Unpacker:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)


def _xz() -> Unpacker:
    return lzma.LZMADecompressor(memlimit=_XZ_MEMORY_BYTES)


_FORMS: dict[bytes, Callable[[], Unpacker]] = {
    b"\x1f\x8b": _gzip,
    b"BZh": bz2.BZ2Decompressor,
    b"\xfd7zXZ\x00": _xz,
    b"\x28\xb5\x2f\xfd": new_zstd,
}
_LONGEST_MAGIC = max(map(len, _FORMS))


def unpacked(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the stream, decompressed if its first bytes are those of a known compression.

    Raises:
        ArchiveCorrupt: the stream is cut short or damaged.
    """
    source = iter(chunks)
    head = b""
    while len(head) < _LONGEST_MAGIC and (more := next(source, b"")):
        head += more
    new = next((form for magic, form in _FORMS.items() if head.startswith(magic)), None)
    whole = _chained(head, source)
    return whole if new is None else _streams(whole, new)


def _chained(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _streams(chunks: Iterator[bytes], new: Callable[[], Unpacker]) -> Iterator[bytes]:
    data = next(chunks, b"")
    while data:
        unpacker = new()
        yield from pieces(unpacker, data, chunks)
        data = _after_padding(unpacker.unused_data, chunks)


def pieces(unpacker: Unpacker, data: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress one stream that begins with `data`; the rest stays in ``unused_data``.

    Raises:
        ArchiveCorrupt: the stream is cut short or damaged.
    """
    try:
        while True:
            if piece := unpacker.decompress(data, PIECE_BYTES):
                yield piece
            if unpacker.eof:
                return
            data = _next_chunk(chunks) if unpacker.needs_input else b""
    except _BROKEN:
        raise ArchiveCorrupt("the compressed data is damaged") from None


def _next_chunk(chunks: Iterator[bytes]) -> bytes:
    for chunk in chunks:
        if chunk:
            return chunk
    raise ArchiveCorrupt("the compressed data ends too early")


def _after_padding(data: bytes, chunks: Iterator[bytes]) -> bytes:
    data = data.lstrip(b"\0")
    while not data:
        chunk = next(chunks, None)
        if chunk is None:
            return b""
        data = chunk.lstrip(b"\0")
    return data
