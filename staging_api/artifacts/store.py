"""Keep staged bytes in files named by their sha256, on a disk or a volume that pods share.

One rule carries this module: **a name under ``sha256/`` appears only after its bytes are
durable**. So whoever finds a name may trust it, without asking which process wrote it or whether
the power failed since, and writing the same content twice is harmless.

What happens if the process dies, or the machine loses power:

- while `Batch.keep` writes: the batch's own folder under ``tmp/`` is left; nothing else knows of
  it, and `BlobStore.sweep` removes it by age.
- in `Batch.commit`, before the data is synced: the same.
- after the sync, during the renames: some blobs have names that no row mentions yet. They are
  whole; the next attempt finds and reuses them, or a reconcile removes them.
- before the folders are synced: a power cut may forget names that were given. No row mentions
  them yet, because rows are written after `commit` returns.
"""

import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from staging_api.artifacts.disk import (
    children,
    full_disk_told,
    newest_change,
    reserve,
    sync,
    write_all,
)
from staging_api.artifacts.parts import PartStore
from staging_api.errors import NotFound, Unavailable

#: Below this, reserving the space first costs more than it tells.
_WORTH_RESERVING = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Blob:
    """Content that was kept: its digest, in hex, and its length."""

    sha256: str
    size_bytes: int


class BlobStore:
    """Files by digest below one folder: ``sha256/ab/abcd...`` and, while written, ``tmp/``."""

    def __init__(self, root: Path) -> None:
        self._named = root / "sha256"
        self._tmp = root / "tmp"
        #: What has arrived of objects that are on their way.
        self.parts = PartStore(root / "parts")

    def folders(self) -> list[Path]:
        """The folders above the blobs' own, whose entries must be durable too."""
        return [self._named, self._named.parent]

    def check(self) -> None:
        """Make sure that the store can be reached and written; asks for no room in it.

        Raises:
            Unavailable: the folder is not there, or is read-only.
        """
        with suppress(OSError):
            self._tmp.mkdir(parents=True, exist_ok=True)
        if not os.access(self._tmp, os.R_OK | os.W_OK | os.X_OK):
            raise Unavailable("the store cannot be written")

    def free_bytes(self) -> int:
        """Room that is left in the store."""
        room = os.statvfs(self._tmp.parent)
        return room.f_bavail * room.f_frsize

    def path(self, sha256: str) -> Path:
        """Where the blob of this digest lies, or would lie.

        Raises:
            NotFound: this is not a digest.
        """
        if _DIGEST.fullmatch(sha256) is None:
            raise NotFound("a blob is named by 64 lower-case hexadecimal digits")
        return self._named / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        """Whether the blob is here, whole."""
        return self.path(sha256).is_file()

    def find(self, sha256: str) -> Blob | None:
        """The blob of this digest, if it is here."""
        try:
            return Blob(sha256, self.path(sha256).stat().st_size)
        except FileNotFoundError:
            return None

    def open(self, sha256: str) -> BinaryIO:
        """Open the blob for reading.

        Raises:
            NotFound: it is not here.
        """
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError:
            raise NotFound(f"the store has no blob {sha256}") from None

    def remove(self, sha256: str) -> None:
        """Free the blob; a reader that has it open still reads it to the end."""
        self.path(sha256).unlink(missing_ok=True)

    def blobs(self) -> Iterator[tuple[Blob, float]]:
        """Name all that is here with the time of its last use by a batch (seconds, epoch)."""
        for folder in sorted(children(self._named)):
            yield from self.shard(folder.name)

    def shard(self, shard: str) -> Iterator[tuple[Blob, float]]:
        """The same, of those alone whose digests begin with these two digits."""
        for path in children(self._named / shard):
            with suppress(FileNotFoundError):  # removed while we look
                facts = path.stat()
                yield Blob(path.name, facts.st_size), facts.st_mtime

    def last_use(self, sha256: str) -> float | None:
        """When a batch last used the blob (seconds, epoch); None: it is not here."""
        try:
            return self.path(sha256).stat().st_mtime
        except FileNotFoundError:
            return None

    @contextmanager
    def batch(
        self, owner: str, room: Callable[[int], None] = lambda _count: None
    ) -> Iterator["Batch"]:
        """Open a place to write to; what is not committed when the block ends is removed.

        Args:
            owner: names the folder under ``tmp/``, so that an operator sees whose it is.
            room: is told of bytes before they are written; what it raises ends the writing.
        """
        folder = self._tmp / owner / token_hex(8)
        with full_disk_told():
            _make(folder)
        try:
            yield Batch(self, folder, room)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # another batch of this owner is still at work
                folder.parent.rmdir()

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what dead processes left on its way; give the number of folders removed."""
        horizon = time.time() - older_than_seconds
        dead = [
            folder
            for owner in children(self._tmp)
            for folder in children(owner)
            if newest_change(folder) < horizon
        ]
        for folder in dead:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()
        return len(dead) + self.parts.sweep(older_than_seconds)


def _make(folder: Path) -> None:
    """Make a folder; the one above it may be removed, by the end of another batch, meanwhile."""
    while True:
        try:
            folder.mkdir(parents=True)
        except FileNotFoundError:
            continue
        return


class Batch:
    """Blobs that become visible together, after all their bytes are durable."""

    def __init__(self, store: BlobStore, folder: Path, room: Callable[[int], None]) -> None:
        self._store = store
        self._folder = folder
        self._room = room
        self._written: dict[str, Path] = {}
        self._lock = threading.Lock()

    def keep(self, chunks: Iterable[bytes], expected_bytes: int | None = None) -> Blob:
        """Write and hash one stream; safe to call from several threads.

        Args:
            chunks: read to the end.
            expected_bytes: its length if that is known, to find a full disk before writing.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        temporary = self._folder / token_hex(8)
        roomy = self._with_room(chunks, expected_bytes)
        return self._written_as(_write(temporary, roomy, expected_bytes), temporary)

    def adopt(self, path: Path, chunks: Iterable[bytes]) -> Blob:
        """Keep a file of this store's own parts, to which nobody writes any more.

        Args:
            path: the file.
            chunks: its bytes once more, to be hashed.
        """
        temporary = self._folder / token_hex(8)
        digest, size = hashlib.sha256(), 0
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
        os.truncate(path, size)
        # A second name, not a move: until the row is written the parts must stay complete.
        temporary.hardlink_to(path)
        return self._written_as(Blob(digest.hexdigest(), size), temporary)

    def reuse(self, blob: Blob) -> None:
        """Keep what the store has already: mark it used, so that no prune takes it.

        Raises:
            NotFound: it was removed since it was found.
        """
        if not self._in_use(blob.sha256):
            raise NotFound(f"the store has no blob {blob.sha256} any more")

    def commit(self, checkpoint: Callable[[str], None] = lambda _name: None) -> None:
        """Make everything kept so far durable, then give it its names.

        Args:
            checkpoint: is told the name of every step that was done.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        with full_disk_told():
            new = {sha: path for sha, path in self._written.items() if not self._in_use(sha)}
            checkpoint("batch written")
            sync(list(new.values()))
            checkpoint("batch synced")
            folders = set()
            for sha256, path in new.items():
                folders.add(self._name(sha256, path))
                checkpoint("blob named")
            sync([*folders, *self._store.folders()] if folders else [])
            checkpoint("names synced")
        self._written.clear()

    def _with_room(self, chunks: Iterable[bytes], expected_bytes: int | None) -> Iterator[bytes]:
        promised = expected_bytes or 0
        self._room(promised)
        for chunk in chunks:
            more = max(len(chunk) - promised, 0)
            promised = max(promised - len(chunk), 0)
            if more:
                self._room(more)
            yield chunk

    def _written_as(self, blob: Blob, temporary: Path) -> Blob:
        with self._lock:
            kept = self._written.setdefault(blob.sha256, temporary)
        # An archive with the same file twice, or twice the same archive: one copy is enough.
        if kept is not temporary:
            temporary.unlink()
        return blob

    def _in_use(self, sha256: str) -> bool:
        """Whether the store has it already; if so, mark it used, so that no prune takes it."""
        try:
            os.utime(self._store.path(sha256))
        except FileNotFoundError:
            return False
        return True

    def _name(self, sha256: str, temporary: Path) -> Path:
        final = self._store.path(sha256)
        final.parent.mkdir(parents=True, exist_ok=True)
        # If another process was faster this replaces its file by the same, equally durable, bytes.
        temporary.replace(final)
        return final.parent


def _write(path: Path, chunks: Iterable[bytes], expected_bytes: int | None) -> Blob:
    digest, size = hashlib.sha256(), 0
    with path.open("xb", buffering=0) as file:
        if expected_bytes is not None and expected_bytes >= _WORTH_RESERVING:
            reserve(file.fileno(), expected_bytes)
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            with full_disk_told():
                write_all(file.fileno(), chunk)
        # What was reserved and not needed goes back.
        if expected_bytes is not None and expected_bytes > size:
            file.truncate(size)
    return Blob(digest.hexdigest(), size)
