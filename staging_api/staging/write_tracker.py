"""How far the file that an artifact becomes is written, for readers that follow it.

Only an artifact that becomes one file can be followed: the contents of any other are not known
before it is unpacked. One thread writes the file, another may ask how far it is.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class WrittenExtent:
    """How far one file is written.

    Attributes:
        size_bytes: that it will have; None: not known.
        bytes_done: that are written, from its front.
    """

    file: Path
    size_bytes: int | None
    bytes_done: int = 0


class WriteTracker:
    """Counts the bytes that the writer of the file has written."""

    def __init__(self) -> None:
        self._grown: WrittenExtent | None = None

    def counted(
        self, file: Path, size_bytes: int | None, chunks: Iterable[bytes]
    ) -> Iterator[bytes]:
        """Pass the chunks to the writer, which has written one when it asks for the next.

        The file is reported from the first request on: by then it exists.
        """
        # One object, replaced as a whole: the reading thread needs no lock.
        self._grown = grown = WrittenExtent(file, size_bytes)
        for chunk in chunks:
            yield chunk
            self._grown = grown = replace(grown, bytes_done=grown.bytes_done + len(chunk))

    def synced(self) -> WrittenExtent | None:
        """Sync the file, so that other machines see it, and return how far it is written."""
        grown = self._grown
        if grown is None:
            return None
        try:
            descriptor = os.open(grown.file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None  # the store had the same content already
        try:
            # fdatasync writes the length, too: without the length a reader elsewhere sees no new
            # bytes.
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return grown
