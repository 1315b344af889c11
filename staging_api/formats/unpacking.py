"""Decompress while the bytes arrive, in bounded pieces.

The compression is detected by the first bytes, not by a name: builders switch from bzip2 to zstd
under the old name. Several compressed streams in a row count as one, as gzip, bzip2, xz and zstd
define; only zero padding may follow the last one. pzstd puts skippable frames between its streams.
"""

import bz2
import lzma
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, cast

from isal import igzip_lib

from staging_api.errors import ArchiveCorrupt, LimitExceeded

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

#: Size of a decompressed piece: large enough to be efficient, small enough to enforce limits.
PIECE_BYTES = 1 << 20
#: Flags of a header of gzip; a longer header than this is left to the library.
_CHECKSUM, _EXTRA, _NAME, _COMMENT = 2, 4, 8, 16
_MOST_HEADER_BYTES = 128 << 10
# The library's stub declares an instance where the class is.
_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_BROKEN = (OSError, EOFError, ValueError, lzma.LZMAError, _ISAL_ERROR, zstd.ZstdError)


class Unpacker(Protocol):
    """Common interface of the standard library's decompressors."""

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


def new_zstd(window_bytes: int) -> Unpacker:
    """Return a zstd decompressor with this memory limit for its window."""
    parameter = zstd.DecompressionParameter.window_log_max
    lowest, highest = parameter.bounds()
    window = max(lowest, min(highest, window_bytes.bit_length() - 1))
    return zstd.ZstdDecompressor(options={int(parameter): window})


def new_xz(window_bytes: int) -> Unpacker:
    """Return an xz decompressor with this memory limit."""
    return lzma.LZMADecompressor(memlimit=window_bytes)


def new_bzip2(_window_bytes: int) -> Unpacker:
    """Return a bzip2 decompressor, which never needs more than 4 MB."""
    return bz2.BZ2Decompressor()


class _Gzip:
    """Gzip; the library misreads the checksum of a header that arrives in pieces."""

    def __init__(self, _window_bytes: int) -> None:
        self._inflater = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        self._header: bytes | None = b""

    @property
    def eof(self) -> bool:
        return bool(self._inflater.eof)

    @property
    def needs_input(self) -> bool:
        return self._header is not None or bool(self._inflater.needs_input)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inflater.unused_data)

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._header is not None:
            data = self._header + data
            if len(data) < _MOST_HEADER_BYTES and not _begins_with_header(data):
                self._header = data
                return b""
            self._header = None
        return bytes(self._inflater.decompress(data, max_length))


def _begins_with_header(data: bytes) -> bool:
    """Return whether data begins with a whole header of gzip (RFC 1952)."""
    flags, end = (data[3], 10) if len(data) >= 10 else (0, len(data) + 1)  # noqa: PLR2004 - its bytes
    if flags & _EXTRA:
        end += 2 + int.from_bytes(data[end : end + 2], "little")
    for text in (_NAME, _COMMENT):
        if flags & text:
            end = data.find(b"\0", end) + 1 or len(data) + 1
    return end + (2 if flags & _CHECKSUM else 0) <= len(data)


_FORMS: dict[bytes, Callable[[int], Unpacker]] = {
    b"\x1f\x8b": _Gzip,
    b"BZh": new_bzip2,
    b"\xfd7zXZ\x00": new_xz,
    b"\x28\xb5\x2f\xfd": new_zstd,
    # The sixteen magic numbers of skippable frames.
    **{bytes([number]) + b"\x2a\x4d\x18": new_zstd for number in range(0x50, 0x60)},
}
_LONGEST_MAGIC = max(map(len, _FORMS))


def unpacked(chunks: Iterable[bytes], window_bytes: int) -> Iterator[bytes]:
    """Yield the stream, decompressed if its first bytes are those of a known compression.

    Args:
        chunks: the stream.
        window_bytes: memory limit of a decompressor.

    Raises:
        ArchiveCorrupt: the stream is truncated or damaged.
        LimitExceeded: the stream needs more memory.
    """
    source = iter(chunks)
    head = b""
    while len(head) < _LONGEST_MAGIC and (more := next(source, b"")):
        head += more
    new = next((form for magic, form in _FORMS.items() if head.startswith(magic)), None)
    whole = _chained(head, source)
    return whole if new is None else _streams(whole, new, window_bytes)


def pieces(unpacker: Unpacker, data: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress one stream that begins with `data`; the rest stays in ``unused_data``.

    Raises:
        ArchiveCorrupt: the stream is truncated or damaged.
        LimitExceeded: the stream needs more memory than allowed.
    """
    try:
        while True:
            if piece := unpacker.decompress(data, PIECE_BYTES):
                yield piece
            if unpacker.eof:
                return
            data = _next_chunk(chunks) if unpacker.needs_input else b""
    except _BROKEN as error:
        # Both libraries report this only in the text of the error.
        if "memory" in str(error).lower():
            raise too_large_a_window() from None
        if "dictionary" in str(error).lower():
            raise ArchiveCorrupt(
                "the compressed data needs a dictionary of zstd, which is not read: compress it"
                " without one"
            ) from None
        raise ArchiveCorrupt("the compressed data is damaged") from None


def too_large_a_window() -> LimitExceeded:
    """Return the error for data that needs more memory than `UnpackLimits.window_bytes`."""
    return LimitExceeded(
        "the compressed data needs a larger window than is allowed (STAGING_UNPACK_WINDOW_BYTES)"
    )


def _chained(head: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if head:
        yield head
    yield from rest


def _streams(
    chunks: Iterator[bytes], new: Callable[[int], Unpacker], window_bytes: int
) -> Iterator[bytes]:
    data = next(chunks, b"")
    marks = [mark for mark, form in _FORMS.items() if form is new]
    while data:
        unpacker = new(window_bytes)
        yield from pieces(unpacker, data, chunks)
        data = _after_padding(unpacker.unused_data, chunks)
        while 0 < len(data) < _LONGEST_MAGIC and (more := next(chunks, b"")):
            data += more
        # A truncated magic number is left to the decompressor, which reports it.
        if data and not any(data.startswith(mark) or mark.startswith(data) for mark in marks):
            raise ArchiveCorrupt(
                "behind the compressed data stands something else, neither zeros nor more of it"
                f" (it begins with {data[:_LONGEST_MAGIC].hex(' ')})"
            )


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
