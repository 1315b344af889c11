"""The compressed forms of control and index files, unpacked within bounds."""

import gzip
import lzma
import sys
import zlib
from enum import StrEnum
from typing import Protocol

from staging_api.errors import PackageInvalid

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


class Form(StrEnum):
    """How a file is compressed; the value ends its name."""

    PLAIN = ""
    GZ = ".gz"
    XZ = ".xz"
    ZST = ".zst"


# What a decoder may allocate before it has written a byte: xz -9 asks for 65 MiB, and a window of
# 32 MiB is more than any control archive that we take unpacks to.
_XZ_MEMORY_BYTES = 80 << 20
_ZST_WINDOW_LOG = 25

# An index block has about 96 KiB. A larger dictionary finds nothing more in it, but costs every
# client that memory. It is text: four bits of context and no alignment take 2 % off, which pays for
# a search that is a third shorter than that of preset 6. zstd's level 9 is 10 % smaller than its
# default and still ten times faster than xz.
_XZ_FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 6,
        "dict_size": 1 << 20,
        "lc": 4,
        "pb": 0,
        "nice_len": 32,
    }
]
_GZ_LEVEL = 6
_ZST_LEVEL = 9


class _Decoder(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = ...) -> bytes: ...


def pack(form: Form, data: bytes) -> bytes:
    """Compress into one gzip member, one xz stream of one block, or one zstd frame."""
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
    """Decompress what `pack` or any other tool made as one piece.

    Raises:
        PackageInvalid: it is damaged, cut short, followed by more, or unpacks to more than
            `limit_bytes`; never more than that plus a decoder's window is held.
    """
    if form is Form.PLAIN:
        whole, tail, unpacked = True, b"", data
    else:
        decoder = _decoder(form)
        try:
            unpacked = decoder.decompress(data, limit_bytes + 1)
        except (zlib.error, lzma.LZMAError, zstd.ZstdError) as error:
            raise PackageInvalid(f"The {form} data is damaged: {error}") from error
        whole, tail = decoder.eof, decoder.unused_data
    if len(unpacked) > limit_bytes:
        raise PackageInvalid(f"The {form or 'plain'} data has more than {limit_bytes} bytes")
    if not whole or tail:
        raise PackageInvalid(f"The {form} data is cut short or has something behind it")
    return unpacked


def _decoder(form: Form) -> _Decoder:
    match form:
        case Form.GZ:
            return zlib.decompressobj(wbits=31)
        case Form.XZ:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
        case _:
            window: int = zstd.DecompressionParameter.window_log_max
            return zstd.ZstdDecompressor(options={window: _ZST_WINDOW_LOG})
