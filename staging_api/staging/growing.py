"""Read a file while another process, on any pod that shares the store, still writes it.

The rows say how far it is written (`repository.coming`) and, in the end, what its sha256 is. A
reader gets the bytes as they come, less the last `HELD_BACK_BYTES`: those only when the file is
staged and all that was sent, hashed here, is what was verified there. So whatever the writer does,
dies and is replaced included, or whatever a network file system shows, a reader never gets a whole
file that is a wrong one: it gets less, and is told so by `Broken`.

What happens if a process dies?

- The writer: its lock runs out, another attempt begins from the parts, and the reader goes on when
  that attempt has come further than what was read. Should the source have changed meanwhile, the
  digest does not hold, and the reader is cut off.
- The process that serves the reader: the connection ends, short of the promised length.
"""

import hashlib
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from staging_api.artifacts.store import BlobStore
from staging_api.clients import ALWAYS_CONNECTED, Client
from staging_api.db.engine import Database
from staging_api.errors import StagingApiError, Unavailable
from staging_api.staging import repository
from staging_api.staging.model import ServedFile
from staging_api.staging.repository import Coming
from staging_api.staging.watch import Watch

#: What a reader does not get before the file is verified.
HELD_BACK_BYTES = 64 << 10
_CHUNK_BYTES = 1 << 20
#: Between two looks at a file of which nothing was heard.
_LOOK_SECONDS = 5.0


class Broken(StagingApiError):
    """What comes will not be the file that was begun: it failed, was cancelled or has changed."""

    code, title, retryable = "staging_broken", "The file will not come", True


@dataclass(frozen=True)
class Growing:
    """Files that are on their way, for readers that do not wait until they are staged.

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
        """Follow what comes to `path` below ``/static``, once its first bytes are there.

        Args:
            path: of the file.
            seconds: how long to wait for the first bytes.
            client: who reads it.

        Returns:
            None if it is staged by now, or if nobody brings it.

        Raises:
            Unavailable: too many wait already, or nothing came in that time.
            ClientGone: the client closed its connection meanwhile.
        """
        with ExitStack() as stack:
            if not stack.enter_context(self.watch.waiter_slot()):
                raise Unavailable("as many requests as may wait at once do already")
            deadline = time.monotonic() + seconds
            while (found := self.look(path)) is not None:
                # What is held back of a small file is all of it: that is waited for here.
                if self.file_of(found) is not None and found.bytes_done > HELD_BACK_BYTES:
                    return FollowedFile(self, path, found, stack.pop_all(), client)
                if not self.wait(found, deadline, client):
                    raise Unavailable(f"{path} is being staged and has not begun to arrive")
        return None

    def look(self, path: str) -> Coming | None:
        """What comes to the path; None: nothing any more."""
        with self.database.connect() as conn:
            return repository.coming(conn, path)

    def staged(self, path: str) -> ServedFile | None:
        """What came there."""
        with self.database.connect() as conn:
            return repository.served_file(conn, path)

    def file_of(self, found: Coming) -> Path | None:
        """Where it grows; None: nowhere yet, or where only another pod can read it."""
        return None if found.file is None else self.blobs.growing(found.file)

    def wait(self, found: Coming, deadline: float, client: Client) -> bool:
        """Wait for news; False when the time is over, or this process ends."""
        left = deadline - time.monotonic()
        if left <= 0 or self.watch.closed:
            return False
        self.watch.changed(found.staging_id, found.version, min(_LOOK_SECONDS, left), client)
        return True


class FollowedFile:
    """The bytes of one file, from its front to its verified end; close it, read or not."""

    def __init__(
        self, growing: Growing, path: str, found: Coming, slot: ExitStack, client: Client
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
        """Whose file it is."""
        return self._found.artifact_id

    @property
    def staging_id(self) -> str:
        """Who brings it."""
        return self._found.staging_id

    @property
    def size_bytes(self) -> int | None:
        """How many bytes it will have; None: not known."""
        return self._found.size_bytes

    def __iter__(self) -> Iterator[bytes]:
        """Give the bytes as they come.

        Raises:
            Broken: they will not be the file that was begun; some of it was not given.
            Unavailable: nothing came for too long, or the database is away.
        """
        found: Coming | None = self._found
        heard = time.monotonic()
        while found is not None:
            before = self._position
            yield from self._grown(found)
            if self._position > before:
                heard = time.monotonic()
            if not self._growing.wait(found, heard + self._growing.patience_seconds, self._client):
                raise Unavailable(f"nothing came of {self._path} for too long")
            found = self._growing.look(self._path)
        served = self._growing.staged(self._path)
        if served is None:
            raise Broken(f"{self._path} was not staged")
        # Whoever reads slowly what is there waits for nobody.
        self._slot.close()
        yield from self._verified(served)

    def close(self) -> None:
        """Give the slot back."""
        self._slot.close()

    def _grown(self, found: Coming) -> Iterator[bytes]:
        """What was written since, less what is held back."""
        file = self._growing.file_of(found)
        if file is None:
            return
        # Opened anew at each look: a network file system then shows what was written since. Gone is
        # what was staged, or given up: the next look at the rows tells.
        with suppress(FileNotFoundError), file.open("rb", buffering=0) as stream:
            stream.seek(self._position)
            yield from self._read(stream, found.bytes_done - HELD_BACK_BYTES)

    def _verified(self, served: ServedFile) -> Iterator[bytes]:
        """The rest of the file that was staged, the end only if it belongs to what was given."""
        with self._growing.blobs.open(served.sha256, served.size_bytes) as stream:
            stream.seek(self._position)
            yield from self._read(stream, served.size_bytes - HELD_BACK_BYTES)
            end = stream.read()
        self._digest.update(end)
        size = self._position + len(end)
        promised = size if self.size_bytes is None else self.size_bytes
        if self._digest.hexdigest() != served.sha256 or size != promised:
            raise Broken(f"{self._path} is not the file that was begun")
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
