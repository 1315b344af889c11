"""Forward-only stream of chunks with the interface of a file."""

from collections.abc import Iterator
from typing import cast

from staging_api.errors import ArchiveCorrupt, LimitExceeded

#: Maximum size of all headers of one member: extended headers, or the map of a sparse file.
_HEADER_BYTES = 8 << 20


class ForwardFile:
    """Reads headers as from a file, and streams contents as they arrive.

    Attributes:
        ended: whether the stream ended within the last header.
        header: the last header.
    """

    def __init__(self, chunks: Iterator[bytes], position: int = 0) -> None:
        """Wrap a stream whose first byte is at `position`."""
        self._chunks = chunks
        self._rest = memoryview(b"")
        self._position = position
        self._header_bytes = 0
        self.ended = False
        self.header = b""

    def begin_member(self) -> None:
        """Start counting the headers of the next member; they share one size limit."""
        self._header_bytes = 0

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._position

    def seek(self, position: int) -> int:
        """Skip forward.

        Raises:
            ArchiveCorrupt: the position has already been passed.
        """
        if position < self._position:
            raise ArchiveCorrupt("a header of the container file points backwards")
        if self.at_once(position - self._position) is None:
            for _ in self.stream(position - self._position):
                pass
        return self._position

    def read(self, size: int) -> bytes:
        """Read a header.

        Raises:
            LimitExceeded: the headers of the member are too long, as in an attack.
        """
        self._header_bytes += size
        if self._header_bytes > _HEADER_BYTES:
            raise LimitExceeded(f"the headers of a member have over {_HEADER_BYTES} bytes")
        whole = self.at_once(size)
        self.header = b"".join(self.stream(size)) if whole is None else bytes(whole)
        self.ended = len(self.header) < size
        return self.header

    def at_once(self, size: int) -> memoryview | None:
        """Return the next `size` bytes if all have arrived; otherwise None, and take nothing."""
        if size > len(self._rest):
            return None
        piece, self._rest = self._rest[:size], self._rest[size:]
        self._position += size
        return piece

    def stream(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes as they arrive, or fewer if the stream ends."""
        while size > 0:
            if not self._rest and not self._refill():
                return
            piece = self._rest[:size]
            self._rest = self._rest[size:]
            self._position += len(piece)
            size -= len(piece)
            yield cast("bytes", piece)

    def goes_on(self) -> bool:
        """Read to the end; return whether any byte was not zero."""
        found = bool(bytes(self._rest).strip(b"\0"))
        for chunk in self._chunks:
            found = found or bool(bytes(chunk).strip(b"\0"))
        return found

    def drain(self) -> None:
        """Read to the end, so that counters and hashes upstream cover the whole stream."""
        for _ in self._chunks:
            pass

    def _refill(self) -> bool:
        self._rest = memoryview(next(self._chunks, b""))
        return bool(self._rest)
