"""Read a file while another process, on any pod that shares the store, still writes it.

The rows record how many bytes are written (`growth_rows.incoming_file`) and, in the end, the
sha256. A reader gets the bytes as they arrive, except the last `HELD_BACK_BYTES`: these only when
the file is staged and the bytes sent so far, hashed here, are those that were verified by the
writer. So whatever the writer does (it may die and be replaced), and whatever a network file system
shows, a reader never gets a complete wrong file: it gets a shorter one, and `PartialFileBroken`
reports it.

What if a process dies?

- The writer: its lock expires, another attempt resumes from the parts, and the reader continues
when that attempt is further than the bytes already read. If the source has changed meanwhile, the
digest differs, and the response is cut short.
- The process that serves the reader: the connection ends, short of the declared length.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from staging_api.clients import ALWAYS_CONNECTED, Client
from staging_api.db.engine import Database
from staging_api.errors import StagingApiError, Unavailable
from staging_api.staging.model import ServedFile
from staging_api.staging.repository import growth_rows, reading
from staging_api.staging.repository.growth_rows import IncomingFile
from staging_api.staging.watch import Watch
from staging_api.store.blob_store import BlobStore
from staging_api.store.places import open_at

#: Number of bytes at the end that a reader gets only after the file is verified.
HELD_BACK_BYTES = 64 << 10
_CHUNK_BYTES = 1 << 20
#: Interval of reading the rows if no change is announced.
_LOOK_SECONDS = 5.0


class PartialFileBroken(StagingApiError):
    """The file that was begun will not come: its staging failed, was cancelled or has changed."""

    code, title, retryable = "staging_broken", "The file will not come", True


@dataclass(frozen=True)
class PartialFiles:
    """Files that are being staged, for readers that do not wait for the end of the staging.

    Attributes:
        patience_seconds: how long a reader waits for the next byte.
    """

    database: Database
    blobs: BlobStore
    watch: Watch
    patience_seconds: float = 600.0

    def begin(
        self, path: str, seconds: float, client: Client = ALWAYS_CONNECTED
    ) -> "FollowedFile | None":
        """Follow the file that is being staged at `path` below ``/static``, from its first bytes.

        Args:
            path: path of the file.
            seconds: how long to wait for the first bytes.
            client: the reader's connection.

        Returns:
            None if the file is staged by now, or if no staging brings it.

        Raises:
            Unavailable: too many requests wait already, or nothing arrived in that time.
            ClientGone: the client closed its connection meanwhile.
        """
        with ExitStack() as stack:
            if not stack.enter_context(self.watch.waiter_slot()):
                raise Unavailable("too many requests are waiting already (STAGING_WAITERS)")
            deadline = time.monotonic() + seconds
            while (found := self.look(path)) is not None:
                # All of a small file is held back, so a reader waits for it here.
                if self.file_of(found) is not None and found.bytes_done > HELD_BACK_BYTES:
                    # The waiter slot now belongs to the followed file, and `close` releases it.
                    return FollowedFile(self, path, found, stack.pop_all(), client)
                if not self.wait(found, deadline, client):
                    raise Unavailable(f"{path} is being staged and has not begun to arrive")
        return None

    def look(self, path: str) -> IncomingFile | None:
        """Return the file that is being staged at the path; None if there is none."""
        with self.database.connect() as conn:
            return growth_rows.incoming_file(conn, path)

    def staged(self, path: str) -> ServedFile | None:
        """Return the file that is staged at the path; None if there is none."""
        with self.database.connect() as conn:
            return reading.served_file(conn, path)

    def file_of(self, found: IncomingFile) -> Path | None:
        """Return the growing file; None before it exists, or if only other pods can read it."""
        return None if found.file is None else self.blobs.growing(found.file)

    def wait(self, found: IncomingFile, deadline: float, client: Client) -> bool:
        """Wait for a change of the staging; return False at the deadline or at shutdown."""
        left = deadline - time.monotonic()
        if left <= 0 or self.watch.closed:
            return False
        self.watch.changed(found.staging_id, found.version, min(_LOOK_SECONDS, left), client)
        return True


class FollowedFile:
    """The bytes of one file, from its start to its verified end; close it even if unread."""

    def __init__(
        self, growing: PartialFiles, path: str, found: IncomingFile, slot: ExitStack, client: Client
    ) -> None:
        self._growing = growing
        self._path = path
        self._found = found
        self._slot = slot
        self._client = client
        self._digest = hashlib.sha256()
        self._position = 0

    @property
    def artifact_id(self) -> str:
        """The artifact of the file."""
        return self._found.artifact_id

    @property
    def staging_id(self) -> str:
        """The staging that brings the file."""
        return self._found.staging_id

    @property
    def size_bytes(self) -> int | None:
        """The final length of the file; None: not known."""
        return self._found.size_bytes

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes as they arrive.

        Raises:
            PartialFileBroken: the file that was begun will not come; its end was not yielded.
            Unavailable: nothing arrived for too long, or the database is unavailable.
        """
        found: IncomingFile | None = self._found
        heard = time.monotonic()
        while found is not None:
            before = self._position
            yield from self._grown(found)
            if self._position > before:
                heard = time.monotonic()
            if not self._growing.wait(found, heard + self._growing.patience_seconds, self._client):
                raise Unavailable(f"no byte arrived of {self._path} for too long")
            found = self._growing.look(self._path)
        served = self._growing.staged(self._path)
        if served is None:
            raise PartialFileBroken(f"{self._path} was not staged")
        # The rest is read from a staged file and waits for no staging, so it needs no slot.
        self._slot.close()
        yield from self._verified(served)

    def close(self) -> None:
        """Release the waiter slot."""
        self._slot.close()

    def _grown(self, found: IncomingFile) -> Iterator[bytes]:
        """Yield the bytes written since the last look, except those that are held back."""
        file = self._growing.file_of(found)
        if file is None:
            return
        # Opened again at each look: only then does a network file system show new bytes. A file
        # that is gone was staged or given up; the next look at the rows shows which.
        with suppress(FileNotFoundError), file.open("rb", buffering=0) as stream:
            stream.seek(self._position)
            yield from self._read(stream, found.bytes_done - HELD_BACK_BYTES)

    def _verified(self, served: ServedFile) -> Iterator[bytes]:
        """Yield the rest of the staged file; the end only if the whole has the right digest."""
        with open_at(self._growing.blobs, served.place) as stream:
            stream.seek(self._position)
            yield from self._read(stream, served.size_bytes - HELD_BACK_BYTES)
            end = stream.read()
        self._digest.update(end)
        size = self._position + len(end)
        declared = size if self.size_bytes is None else self.size_bytes
        if self._digest.hexdigest() != served.sha256 or size != declared:
            raise PartialFileBroken(f"{self._path} is not the file that was begun")
        if end:
            yield end

    def _read(self, stream: BinaryIO, end: int) -> Iterator[bytes]:
        while self._position < end:
            chunk = stream.read(min(_CHUNK_BYTES, end - self._position))
            if not chunk:
                return
            self._digest.update(chunk)
            self._position += len(chunk)
            yield chunk
