"""The file that an artifact becomes, as far as it is written: what readers may follow.

Only an artifact that becomes one file can be followed: of any other, nobody knows what comes.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Growth:
    """How far one file is written; told by whoever writes it.

    Attributes:
        file: where it is; None: nothing is written yet.
        size_bytes: that it will have; None: not known.
        bytes_done: that are written, from its front.
    """

    file: Path | None = None
    size_bytes: int | None = None
    bytes_done: int = 0

    def begin(self, file: Path, size_bytes: int | None) -> None:
        """Another file is begun, from its front."""
        self.file, self.size_bytes, self.bytes_done = file, size_bytes, 0

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Hand the pieces to whoever writes them; who asks for the next has written the last."""
        for chunk in chunks:
            yield chunk
            self.bytes_done += len(chunk)

    def sync(self) -> None:
        """Let other machines see, on a network file system too, what was written."""
        if self.file is None:
            return
        descriptor = os.open(self.file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
