"""Compression methods of zip members: a decompressor for each method number of APPNOTE.TXT."""

import lzma
import struct
from collections.abc import Callable, Mapping

from isal import igzip_lib

from staging_api.errors import ArchiveCorrupt
from staging_api.formats.unpacking import Unpacker, new_bzip2, new_xz, new_zstd, too_large_a_window

STORED, DEFLATE64, LZMA = 0, 9, 14
#: Input size of one call: Deflate64 can expand it up to a thousand times.
_DEFLATE64_PIECE_BYTES = 4 << 10
_LZMA_HEADER = struct.Struct("<BBHBL")
_LZMA_PROPERTIES_BYTES = 5


def _new_inflate(_window_bytes: int) -> Unpacker:
    return igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_DEFLATE)


class _Deflate64:
    """Deflate64, which Windows uses for members of more than 2 GiB."""

    unused_data = b""

    def __init__(self, _window_bytes: int) -> None:
        try:
            from inflate64 import Inflater
        except ModuleNotFoundError:
            raise ArchiveCorrupt(
                "a member of the zip is packed by Deflate64: this service needs"
                " pip install 'staging_api[deflate64]'"
            ) from None
        self._inflater = Inflater()
        self._rest = b""

    @property
    def eof(self) -> bool:
        return bool(self._inflater.eof)

    @property
    def needs_input(self) -> bool:
        return not self._rest

    def decompress(self, data: bytes, _max_length: int = -1) -> bytes:
        waiting = self._rest + data
        piece, self._rest = waiting[:_DEFLATE64_PIECE_BYTES], waiting[_DEFLATE64_PIECE_BYTES:]
        return bytes(self._inflater.inflate(piece))


class _Lzma:
    """LZMA with zip's own header: version, length of the properties, properties."""

    unused_data = b""

    def __init__(self, window_bytes: int) -> None:
        self._window_bytes = window_bytes
        self._header = b""
        self._decoder: lzma.LZMADecompressor | None = None

    @property
    def eof(self) -> bool:
        return self._decoder is not None and self._decoder.eof

    @property
    def needs_input(self) -> bool:
        return self._decoder is None or self._decoder.needs_input

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        if self._decoder is None:
            self._header += data
            if len(self._header) < _LZMA_HEADER.size:
                return b""
            data = self._header[_LZMA_HEADER.size :]
            self._decoder = self._new_decoder()
        return self._decoder.decompress(data, max_length)

    def _new_decoder(self) -> lzma.LZMADecompressor:
        _, _, length, packed, dictionary = _LZMA_HEADER.unpack_from(self._header)
        if length != _LZMA_PROPERTIES_BYTES:
            raise ArchiveCorrupt("a member of the zip has LZMA properties of another length")
        if dictionary > self._window_bytes:
            raise too_large_a_window()
        rest, lc = divmod(packed, 9)
        pb, lp = divmod(rest, 5)
        of_stream = {"id": lzma.FILTER_LZMA1, "dict_size": dictionary, "lc": lc, "lp": lp, "pb": pb}
        return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[of_stream])


#: By method number: creates a decompressor with this memory limit in bytes.
METHODS: Mapping[int, Callable[[int], Unpacker]] = {
    8: _new_inflate,
    DEFLATE64: _Deflate64,
    12: new_bzip2,
    LZMA: _Lzma,
    20: new_zstd,
    93: new_zstd,
    95: new_xz,
}
