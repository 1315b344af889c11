"""Merge many small .xz files into one .xz stream of many blocks, without recompressing.

Concatenated .xz files are valid xz too, but real apt reads only the first one and then reports a
hash mismatch. Therefore the blocks are cut out, and get one common header, index and footer:

    header | block ... block | index: (unpadded size, uncompressed size) of each block | footer

The format is https://tukaani.org/xz/xz-file-format.txt, sections 2 to 4.
"""

import lzma
import zlib
from collections.abc import Iterable, Iterator, Sequence

_HEADER_BYTES = 12
_FOOTER_BYTES = 12
_FOOTER_MAGIC = b"YZ"
_INDEX_INDICATOR = b"\0"

# The header, and the flags in the footer, name the type of checksum after each block. The header is
# the same at each level; the lowest level needs the least memory.
HEADER = lzma.compress(b"", check=lzma.CHECK_CRC32, preset=0)[:_HEADER_BYTES]
_FLAGS = HEADER[6:8]


def join_xz(files: Iterable[bytes]) -> Iterator[bytes]:
    """Merge files that each have one block with a CRC32 check into one xz stream.

    Raises:
        ValueError: a file has another format. This service writes only this one, so that is damage.
    """
    records: list[bytes] = []
    yield HEADER
    for file in files:
        block, record = take_apart(file)
        records.append(record)
        yield block
    yield ending(records)


def take_apart(file: bytes) -> tuple[bytes, bytes]:
    """Return the block with its padding, and its record from the file's own index."""
    if file[:_HEADER_BYTES] != HEADER:
        raise ValueError("not an xz file with CRC32 checks")
    # The field has the number of four-byte units, minus one.
    index_bytes = (int.from_bytes(file[-8:-4], "little") + 1) * 4
    index_at = len(file) - _FOOTER_BYTES - index_bytes
    index = file[index_at:-_FOOTER_BYTES]
    if index[:2] != _INDEX_INDICATOR + _number(1):
        raise ValueError("not an xz file of one block")
    end = _skip_number(index, _skip_number(index, 2))
    return file[_HEADER_BYTES:index_at], index[2:end]


def ending(records: Sequence[bytes]) -> bytes:
    """Return index and footer of a stream of the blocks with these records."""
    index = _index(records)
    return index + _footer(len(index))


def _index(records: Sequence[bytes]) -> bytes:
    body = _INDEX_INDICATOR + _number(len(records)) + b"".join(records)
    body += bytes(-len(body) % 4)
    return body + _crc32(body)


def _footer(index_bytes: int) -> bytes:
    fields = (index_bytes // 4 - 1).to_bytes(4, "little") + _FLAGS
    return _crc32(fields) + fields + _FOOTER_MAGIC


def _crc32(data: bytes) -> bytes:
    return zlib.crc32(data).to_bytes(4, "little")


def _number(value: int) -> bytes:
    """Encode a number in groups of seven bits, lowest first; the top bit says that more follow."""
    encoded = bytearray()
    while value >= 0x80:  # noqa: PLR2004
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _skip_number(data: bytes, position: int) -> int:
    while data[position] & 0x80:
        position += 1
    return position + 1
