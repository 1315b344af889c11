"""The compressed forms of control and index files, unpacked within bounds."""

import gzip
import lzma
import sys
from collections.abc import Iterable
from enum import StrEnum

from isal import igzip_lib

from staging_api.errors import ArchiveCorrupt, PackageInvalid
from staging_api.formats.unpacking import Unpacker, new_zstd, pieces

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


# What a decoder may allocate before it has written a byte; xz -9 asks for 65 MiB.
_XZ_MEMORY_BYTES = 80 << 20

# An index block has about 64 KiB. A larger dictionary finds nothing more in it, but costs every
# client that memory. It is text: four bits of context and no alignment take 2 % off, which pays for
# a search that is shorter than that of preset 6. zstd's level 9 is 10 % smaller than its default
# and still ten times faster than xz.
_XZ_FILTERS = [
    {
        "id": lzma.FILTER_LZMA2,
        "preset": 6,
        "dict_size": 1 << 20,
        "lc": 4,
        "pb": 0,
        "nice_len": 24,
    }
]
_GZ_LEVEL = 6
_ZST_LEVEL = 9


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

    Unlike `formats`, the form is what the name says, and one stream is all: where a package is
    concerned, another tool might read less or more.

    Raises:
        PackageInvalid: it is damaged, cut short, followed by more, or unpacks to more than
            `limit_bytes`; little more than that and a decoder's window is held.
    """
    if form is Form.PLAIN:
        return _within([data], limit_bytes)
    unpacker = _unpacker(form)
    try:
        unpacked = _within(pieces(unpacker, data, iter(())), limit_bytes)
    except ArchiveCorrupt as error:
        raise PackageInvalid(f"The {form} data is wrong: {error}") from error
    if unpacker.unused_data:
        raise PackageInvalid(f"The {form} data has something behind it")
    return unpacked


def _within(chunks: Iterable[bytes], limit_bytes: int) -> bytes:
    held = bytearray()
    for chunk in chunks:
        held += chunk
        if len(held) > limit_bytes:
            raise PackageInvalid(f"A member unpacks to more than {limit_bytes} bytes")
    return bytes(held)


def _unpacker(form: Form) -> Unpacker:
    match form:
        case Form.GZ:
            return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        case Form.XZ:
            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES)
        case _:
            return new_zstd()
