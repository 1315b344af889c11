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

import ctypes
import errno
import hashlib
import os
import re
import shutil
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from staging_api.errors import NoSpace, NotFound, Unavailable

#: Up to this many files are synced one by one; above it, the file system as a whole.
_FEW = 8
#: Below this, reserving the space first costs more than it tells.
_WORTH_RESERVING = 1 << 20
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FULL = (errno.ENOSPC, errno.EDQUOT)


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
        for shard in sorted(_children(self._named)):
            for path in _children(shard):
                with suppress(FileNotFoundError):  # removed while we look
                    facts = path.stat()
                    yield Blob(path.name, facts.st_size), facts.st_mtime

    @contextmanager
    def batch(self, owner: str) -> Iterator["Batch"]:
        """Open a place to write to; what is not committed when the block ends is removed.

        Args:
            owner: names the folder under ``tmp/``, so that an operator sees whose it is.
        """
        folder = self._tmp / owner / token_hex(8)
        with _full_disk_told():
            folder.mkdir(parents=True)
        try:
            yield Batch(self, folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):  # another batch of this owner is still at work
                folder.parent.rmdir()

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what dead processes left under ``tmp/``; give the number of folders removed."""
        horizon = time.time() - older_than_seconds
        dead = [
            folder
            for owner in _children(self._tmp)
            for folder in _children(owner)
            if _last_change(folder) < horizon
        ]
        for folder in dead:
            shutil.rmtree(folder, ignore_errors=True)
            with suppress(OSError):
                folder.parent.rmdir()
        return len(dead)


class Batch:
    """Blobs that become visible together, after all their bytes are durable."""

    def __init__(self, store: BlobStore, folder: Path) -> None:
        self._store = store
        self._folder = folder
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
        blob = _write(temporary, chunks, expected_bytes)
        with self._lock:
            kept = self._written.setdefault(blob.sha256, temporary)
        if kept is not temporary:
            temporary.unlink()
        return blob

    def commit(self) -> None:
        """Make everything kept so far durable, then give it its names.

        Raises:
            NoSpace: the disk or its quota is full.
        """
        with _full_disk_told():
            new = {sha: path for sha, path in self._written.items() if not self._in_use(sha)}
            _sync(list(new.values()))
            folders = {self._name(sha256, path) for sha256, path in new.items()}
            _sync([*folders, *(folder.parent for folder in folders)])
        self._written.clear()

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
            _reserve(file.fileno(), expected_bytes)
        for chunk in chunks:
            digest.update(chunk)
            size += len(chunk)
            with _full_disk_told():
                _write_all(file.fileno(), chunk)
        if expected_bytes is not None and expected_bytes > size:
            file.truncate(size)
    return Blob(digest.hexdigest(), size)


def _reserve(descriptor: int, length: int) -> None:
    # Asked first, because a reservation that fails has by then filled the disk for everybody.
    room = os.fstatvfs(descriptor)
    if length > room.f_bavail * room.f_frsize:
        raise NoSpace(f"the store has no room for {length} bytes")
    try:
        os.posix_fallocate(descriptor, 0, length)
    except OSError as error:
        # Some network file systems cannot reserve; then the writes themselves will tell.
        if error.errno in _FULL:
            raise NoSpace(f"the store has no room for {length} bytes") from None


def _write_all(descriptor: int, chunk: bytes) -> None:
    written = os.write(descriptor, chunk)
    while written < len(chunk):
        chunk = chunk[written:]
        written = os.write(descriptor, chunk)


def _sync(paths: list[Path]) -> None:
    """Bring files or folders to the disk; many at once by syncing their file system."""
    if len(paths) > _FEW:
        _sync_file_system(paths[0])
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync_file_system(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
    finally:
        os.close(descriptor)


@contextmanager
def _full_disk_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise NoSpace("the store is full") from None
        raise


def _children(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _last_change(folder: Path) -> float:
    """The newest time in a folder, so that one long download counts as alive."""
    newest = 0.0
    for path in (folder, *_children(folder)):
        with suppress(FileNotFoundError):
            newest = max(newest, path.stat().st_mtime)
    return newest
