"""The written extent of an artifact's file, for readers that follow the file.

Only an artifact of one file can be followed: the contents of any other are not known before it is
unpacked. One thread writes the file, another may read the extent.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class WrittenExtent:
    """The written extent of one file.

    Attributes:
        size_bytes: the length that the file will have; None: not known.
        bytes_done: number of written bytes, from its start.
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
        """Yield the chunks to the writer, which has written one when it requests the next.

        The file is reported from the first request on: by then it exists.
        """
        # One object, replaced as a whole: the reading thread needs no lock.
        self._grown = grown = WrittenExtent(file, size_bytes)
        for chunk in chunks:
            yield chunk
            self._grown = grown = replace(grown, bytes_done=grown.bytes_done + len(chunk))

    def synced(self) -> WrittenExtent | None:
        """Sync the file, so that other machines see it, and return its written extent."""
        grown = self._grown
        if grown is None:
            return None
        try:
            descriptor = os.open(grown.file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None  # the store had the same content already
        try:
            # fdatasync writes the length, too: without the length a reader on another machine sees
            # no new bytes.
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return grown
