"""The file that an artifact becomes, as far as it is written: what readers may follow.

Only an artifact that becomes one file can be followed: of any other, nobody knows what comes. One
thread writes the file, another may ask how far it is.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path


@dataclass(frozen=True)
class Grown:
    """How far one file is written.

    Attributes:
        size_bytes: that it will have; None: not known.
        bytes_done: that are written, from its front.
    """

    file: Path
    size_bytes: int | None
    bytes_done: int = 0


class Growth:
    """Told by whoever writes the file how far it is."""

    def __init__(self) -> None:
        """Nothing is written yet."""
        self._grown: Grown | None = None

    def counted(
        self, file: Path, size_bytes: int | None, chunks: Iterable[bytes]
    ) -> Iterator[bytes]:
        """Hand the pieces to whoever writes them; who asks for the next has written the last.

        Nobody is told of the file before the first is asked for: by then it is there.
        """
        self._grown = grown = Grown(file, size_bytes)
        for chunk in chunks:
            yield chunk
            self._grown = grown = replace(grown, bytes_done=grown.bytes_done + len(chunk))

    def synced(self) -> Grown | None:
        """How far the file is that other machines see, on a network file system too."""
        grown = self._grown
        if grown is None:
            return None
        try:
            descriptor = os.open(grown.file, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None  # the store had the same content already
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return grown
