"""Compression formats of control and index files, with bounded decompression."""

import gzip
import lzma
import sys
from enum import StrEnum
from typing import Protocol, cast

from isal import igzip_lib

from staging_api.debian.errors import FormatError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Form(StrEnum):
    """Compression format of a file; the value is the suffix of its name."""

    PLAIN = ""
    GZ = ".gz"
    XZ = ".xz"
    ZST = ".zst"


# Memory that a decoder may allocate before its first output; xz -9 needs 65 MiB.
_XZ_MEMORY_BYTES = 80 << 20
# zstd's own window limit without ``--long``, as a power of two.
_ZSTD_WINDOW_LOG = 27
# Output of one decoder call: small enough to stop a decompression bomb soon after its limit.
_PIECE_BYTES = 1 << 20
# The library's stub declares an instance where the class is.
_ISAL_ERROR = cast("type[Exception]", igzip_lib.IsalError)
_DAMAGED = (OSError, EOFError, ValueError, lzma.LZMAError, _ISAL_ERROR, zstd.ZstdError)

# An index block has about 64 KiB. A larger dictionary finds no more matches in it, but costs every
# client that memory. Index files are text: four bits of context and no alignment save 2 %, which
# makes up for a shorter search than that of preset 6. zstd's level 9 is 10 % smaller than its
# default and still ten times faster than xz.
_XZ_FILTERS = [
    {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 20, "lc": 4, "pb": 0, "nice_len": 24}
]
_GZ_LEVEL = 6
_ZST_LEVEL = 9


def pack(form: Form, data: bytes) -> bytes:
    """Compress into one gzip member, one xz stream with one block, or one zstd frame."""
    match form:
        case Form.PLAIN:
            return data
        case Form.GZ:
            return gzip.compress(data, _GZ_LEVEL, mtime=0)
        case Form.XZ:
            return lzma.compress(data, check=lzma.CHECK_CRC32, filters=_XZ_FILTERS)
        case Form.ZST:
            return zstd.compress(data, _ZST_LEVEL)


def unpack(form: Form, data: bytes, limit_bytes: int) -> bytes:
    """Decompress one stream in the format that the file's name declares.

    The format is not guessed, and a second stream is refused: another tool might read less or more.

    Raises:
        FormatError: the data is damaged, truncated, followed by more data, or unpacks to more than
            `limit_bytes`; memory use stays below the sum of that limit, one piece and a decoder's
            window.
    """
    if form is Form.PLAIN:
        _check_size(data, limit_bytes)
        return data
    decoder = _decoder(form)
    unpacked = bytearray()
    try:
        while not decoder.eof:
            piece = decoder.decompress(data, _PIECE_BYTES)
            data = b""
            if not piece and decoder.needs_input:
                raise FormatError(f"The {form} data ends too early")
            unpacked += piece
            _check_size(unpacked, limit_bytes)
    except _DAMAGED:
        raise FormatError(f"The {form} data is damaged") from None
    if decoder.unused_data:
        raise FormatError(f"The {form} data has something behind it")
    return bytes(unpacked)


class _Decoder(Protocol):
    """Common interface of the decompressors of the three libraries."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was reached."""

    @property
    def needs_input(self) -> bool:
        """Whether more input is needed before more output can come."""

    @property
    def unused_data(self) -> bytes:
        """The input beyond the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Decode at most `max_length` bytes of output."""


def _decoder(form: Form) -> _Decoder:
    match form:
        case Form.GZ:
            return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        case Form.XZ:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
        case _:
            window = {int(zstd.DecompressionParameter.window_log_max): _ZSTD_WINDOW_LOG}
            return zstd.ZstdDecompressor(options=window)


def _check_size(data: bytes | bytearray, limit_bytes: int) -> None:
    if len(data) > limit_bytes:
        raise FormatError(f"A member unpacks to more than {limit_bytes} bytes")
