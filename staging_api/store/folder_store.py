"""Store in a folder of a disk, or of a volume that pods share.

Blobs are files ``sha256/ab/abcd...``; ``tmp/`` has files being written, ``parts/`` the parts of
objects being fetched, ``quarantine/`` damaged blobs and files that were in the place of a blob.

What happens if the process dies, or the machine loses power:

- while a batch writes: its own folder under ``tmp/`` is left; nothing else refers to it, and
  `FolderStore.sweep` removes it once it is old.
- in `Batch.commit`, before the data is synced: the same.
- after the sync, during the renames: some blobs have names, but no row names them yet. They are
  complete; the next attempt finds and reuses them, or a reconcile removes them.
- before the folders are synced: a power failure may undo renames. No row names these blobs yet,
  because rows are written after `commit` returns.
"""

import logging
import os
import stat
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from staging_api.errors import NotFound, StagingApiError, StoreAbsent, StoreFailed, StoreReadOnly
from staging_api.store.batch import Batch
from staging_api.store.blobs import (
    KEPT_ASIDE_SECONDS,
    MARKER,
    Blob,
    Checkpoint,
    Reserve,
    identity_in,
    is_digest,
    key_of,
    no_limit,
)
from staging_api.store.disk import (
    alone_in,
    children,
    disk_failures,
    length_of,
    move,
    open_file,
    same_bytes,
    sync,
)
from staging_api.store.parts import PartStore
from staging_api.store.spool import Spool, SweepResult, sweep_folders

log = logging.getLogger(__name__)

_MARKER_BYTES = 100


class FolderStore:
    """Files by digest below one folder, written by all pods."""

    removal_seconds = 10.0
    disk_of = "store"

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spool = Spool(root)

    @property
    def parts(self) -> PartStore:
        """Received parts of unfinished objects."""
        return self._spool.parts

    def check(self) -> None:
        """Check that the folder exists and can be written."""
        self._spool.check()

    def free_bytes(self) -> int:
        """Return the free space in the store."""
        return self._spool.free_bytes()

    def capacity_bytes(self) -> int:
        """Return the size of the store's disk."""
        return self._spool.capacity_bytes()

    def path(self, sha256: str) -> Path:
        """Return the path of the blob with this digest, whether or not it exists.

        Raises:
            NotFound: this is not a digest.
        """
        return self._root / key_of(sha256)

    def identity(self) -> str | None:
        """Return the ULID in the marker; None: there is none, or it is damaged."""
        descriptor = open_file(self._root / MARKER)
        if descriptor is None:
            return None
        if not (self._root / "sha256").is_dir():
            os.close(descriptor)
            raise StoreAbsent(
                "the store has no folder of blobs at all: is its volume mounted?",
                retry_after_seconds=10,
            )
        with disk_failures(self._root), os.fdopen(descriptor, "rb") as stream:
            return identity_in(stream.read(_MARKER_BYTES))

    def identify(self, identity: str, *, replace: bool = False) -> None:
        """Write the marker to a temporary file, and rename it when it is durable.

        If several processes do this at the same time, the first one wins, and the others keep its
        marker.
        """
        marker = self._root / MARKER
        with self._spool.folder("store-id") as folder, disk_failures(self._root):
            written = folder / MARKER
            written.write_text(f"{identity}\n")
            sync([written])
            (self._root / "sha256").mkdir(exist_ok=True)
            with alone_in(self._root):
                if replace or self.identity() is None:
                    if os.path.lexists(marker):
                        self._put_aside(marker)
                    # A hard link, not a rename, because a rename would replace an existing marker.
                    with suppress(FileExistsError):  # another machine, without shared locks
                        marker.hardlink_to(written)
                sync([self._root])

    def is_empty(self) -> bool:
        """Return whether no shard has a blob."""
        shards = children(self._root / "sha256")
        return not any(any(self.shard(folder.name)) for folder in shards)

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Return whether the blob exists, with this length if one is given."""
        length = length_of(self._name(sha256))
        return length is not None and size_bytes in (None, length)

    def lacks(self, contents: Mapping[str, int]) -> set[str]:
        """Return those of these contents that do not exist with this length."""
        return {sha256 for sha256, size in contents.items() if not self.has(sha256, size)}

    def find(self, sha256: str) -> Blob | None:
        """Return the blob with this digest, or None."""
        length = length_of(self.path(sha256))
        return None if length is None else Blob(sha256, length)

    def open(self, sha256: str, size_bytes: int | None = None) -> BinaryIO:
        """Open the file itself, so that a server can send it without reading it."""
        return os.fdopen(self._opened(sha256, size_bytes), "rb")

    def read(self, sha256: str, size_bytes: int, start: int, length: int) -> bytes:
        """Read a range of the file."""
        descriptor = self._opened(sha256, size_bytes)
        try:
            with disk_failures(self._root):
                piece = os.pread(descriptor, length, start)
        finally:
            os.close(descriptor)
        if len(piece) < length:  # truncated after it was opened
            raise NotFound(f"the store has no whole blob {sha256}")
        return piece

    def place(self, sha256: str, file: Path, size_bytes: int | None = None) -> None:
        """Create a symbolic link to the blob."""
        if not self.has(sha256, size_bytes):
            raise NotFound(f"the store has no whole blob {sha256}")
        file.symlink_to(self.path(sha256).absolute())

    def link(self, sha256: str, size_bytes: int) -> None:
        """Return None: a folder has no URLs."""

    def name_of(self, growing: Path) -> str:
        """Return its path below the folder, which is the same volume for all pods."""
        return str(growing.relative_to(self._root))

    def growing(self, name: str) -> Path | None:
        """Return the file with this name, of any pod."""
        return self._root / name

    def remove(self, sha256: str) -> None:
        """Remove the blob; a reader that has it open can still read it to the end."""
        path = self.path(sha256)
        with disk_failures(self._root):
            try:
                path.unlink(missing_ok=True)
            except (IsADirectoryError, NotADirectoryError):
                self._put_aside(path)
            except PermissionError:
                if not path.is_dir():  # some systems raise this for a folder
                    raise
                self._put_aside(path)

    def remove_all(self, digests: Collection[str]) -> dict[str, StagingApiError]:
        """Remove these blobs, each independently; return those that failed, with the error."""
        failed: dict[str, StagingApiError] = {}
        for sha256 in digests:
            try:
                self.remove(sha256)
            except StagingApiError as error:
                failed[sha256] = error
            except OSError as error:
                failed[sha256] = StoreFailed(f"a blob cannot be removed: {error.strerror}")
        return failed

    def quarantine(self, sha256: str, differs: Callable[[BinaryIO], bool]) -> bool:
        """Hard-link the file into quarantine; remove the original if its content differs."""
        path = self.path(sha256)
        with disk_failures(self._root), ExitStack() as undo:
            aside = self._aside(sha256)
            undo.callback(aside.parent.rmdir)
            try:
                aside.hardlink_to(path)
            except (FileNotFoundError, NotADirectoryError):
                return False
            undo.callback(aside.unlink)
            with aside.open("rb") as stream:
                bad = differs(stream)
            # The file may have been replaced by new bytes meanwhile: these stay.
            if bad and path.exists() and path.samefile(aside):
                path.unlink()
                undo.pop_all()
                return True
        return False

    def shard(self, shard: str) -> Iterator[tuple[Blob, float]]:
        """Yield the blobs whose digests begin with these two digits, with their last use.

        Only regular files named by a digest of this shard are blobs.
        """
        for file in children(self._root / "sha256" / shard):
            if not is_digest(file.name, shard):
                continue
            # A file removed meanwhile, or one that cannot be accessed, must not hide the others.
            with suppress(OSError):
                facts = file.lstat()
                if stat.S_ISREG(facts.st_mode):
                    yield Blob(file.name, facts.st_size), facts.st_mtime

    def last_use(self, sha256: str) -> float | None:
        """Return when a batch last used the blob, which is the time of its file."""
        with disk_failures(self._root):
            try:
                return self.path(sha256).lstat().st_mtime
            except (FileNotFoundError, NotADirectoryError):
                return None

    def used_since(self, digests: Collection[str], since: float) -> set[str]:
        """Return those of these blobs that a batch used after `since`."""
        return {sha256 for sha256 in digests if (self.last_use(sha256) or since) > since}

    @contextmanager
    def batch(self, owner: str, reserve: Reserve = no_limit) -> Iterator[Batch]:
        """Open a folder under ``tmp/`` to write to."""
        with self._spool.folder(owner) as folder, closing(Batch(self, folder, reserve)) as batch:
            yield batch

    def time(self) -> float:
        """Return the time by the clock that dates files here, perhaps that of a file server."""
        return self._spool.time()

    def sweep(self, older_than_seconds: float) -> SweepResult:
        """Remove the files of dead processes, and files quarantined more than a month ago."""
        now = self.time()
        return self._spool.sweep(now - older_than_seconds) + sweep_folders(
            self._root / "quarantine", now - max(older_than_seconds, KEPT_ASIDE_SECONDS)
        )

    def mark_used(self, blob: Blob) -> bool:
        """Return whether the blob exists with this length; set the time of its file to now."""
        name = self._name(blob.sha256)
        if length_of(name) != blob.size_bytes:
            return False
        try:
            with disk_failures(self._root):
                os.utime(name, follow_symlinks=False)
        except (FileNotFoundError, StoreReadOnly):
            return False
        return True

    def take(self, files: Mapping[Blob, str], checkpoint: Checkpoint) -> None:
        """Sync the files, rename them, and sync the folders of their names.

        If there are more than a few files, the whole file system is synced instead, twice in total.
        """
        new = {blob: file for blob, file in files.items() if not self._is_kept(blob, file)}
        sync(list(new.values()))
        checkpoint("batch synced")
        for blob, file in new.items():
            self._move(file, Path(self._name(blob.sha256)))
            checkpoint("blob named")
        above = self._root / "sha256"
        folders = [above / shard for shard in {blob.sha256[:2] for blob in new}]
        # The folders above have new entries, too.
        sync([*folders, above, self._root] if folders else [])
        checkpoint("names synced")

    def _opened(self, sha256: str, size_bytes: int | None) -> int:
        descriptor = open_file(self._name(sha256))
        if descriptor is None:
            raise NotFound(f"the store has no blob {sha256}")
        if size_bytes not in (None, os.fstat(descriptor).st_size):
            os.close(descriptor)
            raise NotFound(f"the store has no whole blob {sha256}")
        return descriptor

    def _is_kept(self, blob: Blob, file: str) -> bool:
        """Return whether the blob has the bytes of this file: reading is cheaper than syncing."""
        try:
            return self.mark_used(blob) and same_bytes(self._name(blob.sha256), file)
        except (OSError, StoreFailed):
            return False  # a file that cannot be read is replaced

    def _move(self, file: str, to: Path) -> None:
        """Rename a file to its name, replacing any file there, complete or not."""
        try:
            move(file, str(to))
        except (IsADirectoryError, NotADirectoryError, FileExistsError):
            # Something else is in the place of a folder, or a folder in the place of the file.
            with alone_in(self._root):
                for obstacle in (to.parent.parent, to.parent):
                    if obstacle.exists() and not obstacle.is_dir():
                        self._put_aside(obstacle)
                if to.is_dir():
                    self._put_aside(to)
            move(file, str(to))

    def _put_aside(self, path: Path) -> None:
        """Move something that is not a blob to the quarantine, for an operator."""
        log.warning("%s is no blob, and was moved to %s/quarantine", path, self._root)
        path.rename(self._aside(path.name))

    def _aside(self, name: str) -> Path:
        """Return a new path in the quarantine."""
        folder = self._root / "quarantine" / f"{int(time.time())}-{token_hex(4)}"
        folder.mkdir(parents=True)
        return folder / name

    def _name(self, sha256: str) -> str:
        return f"{self._root}/{key_of(sha256)}"
