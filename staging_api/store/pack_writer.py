"""Writer of packs: the concatenated small contents of an artifact.

Each content is in the pack once, except that only recent digests are remembered. The order is that
of the writer, so the same archive always becomes the same pack, which is stored once.

What if the process dies? A pack is a file of its batch until the batch is committed: `blobs`.
"""

import hashlib
import os
from collections.abc import Callable

from staging_api.store.disk import disk_failures, new_file, write_all, write_back

#: With fewer contents there is no pack: each is a separate blob.
LEAST_CONTENTS = 16
_WRITE_BYTES = 1 << 20
_WRITE_BACK_BYTES = 8 << 20
#: Number of remembered digests, at about 120 bytes each; above it, all are forgotten.
_REMEMBERED = 100_000


class PackWriter:
    """The pack of one batch; writes nothing until there are enough contents."""

    def __init__(self, file: str, reserve: Callable[[int], None]) -> None:
        """Write to a file that does not exist yet; call `reserve` before bytes are written."""
        self.file = file
        self._reserve = reserve
        self._descriptor: int | None = None
        self._digest = hashlib.sha256()
        self._pending = bytearray()
        self._first: list[bytes] = []
        self._count = 0
        self._end = self._written = self._sent = 0
        self._known: dict[bytes, int] = {}

    def add(self, content: bytes) -> tuple[bytes, int]:
        """Add a content; return its digest and its offset in the pack.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        digest = hashlib.sha256(content).digest()
        offset = self._known.get(digest)
        if offset is None:
            offset = self._end
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[digest] = offset
            self._append(content)
        return digest, offset

    def few(self) -> list[bytes] | None:
        """Return the contents if they are too few for a pack; None: there are enough."""
        return self._first if self._count < LEAST_CONTENTS else None

    def seal(self) -> tuple[str, int]:
        """Write the remaining bytes; return digest and length of the pack.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        self._write()
        self.close()
        return self._digest.hexdigest(), self._written

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            # A network file system may report only now that the disk or its quota is full.
            with disk_failures(self.file):
                os.close(descriptor)

    def _append(self, content: bytes) -> None:
        self._count += 1
        self._end += len(content)
        self._pending += content
        if self._count < LEAST_CONTENTS:
            self._first.append(content)
            return
        self._first.clear()
        if len(self._pending) >= _WRITE_BYTES:
            self._write()

    def _write(self) -> None:
        if self._descriptor is None:
            self._descriptor = new_file(self.file)
        self._reserve(len(self._pending))
        piece = bytes(self._pending)
        self._pending.clear()
        self._digest.update(piece)
        write_all(self._descriptor, piece)
        self._written += len(piece)
        if self._written - self._sent >= _WRITE_BACK_BYTES:
            write_back(self._descriptor, self._sent, self._written)
            self._sent = self._written
