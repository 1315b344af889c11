"""A store in a folder: of a disk, or of a volume that pods share.

Blobs are files ``sha256/ab/abcd...``; ``tmp/`` has what is written now, ``parts/`` what has arrived
of objects on their way.

What happens if the process dies, or the machine loses power:

- while a batch writes: its own folder under ``tmp/`` is left; nothing else knows of it, and
  `FolderStore.sweep` removes it by age.
- in `Batch.commit`, before the data is synced: the same.
- after the sync, during the renames: some blobs have names that no row mentions yet. They are
  whole; the next attempt finds and reuses them, or a reconcile removes them.
- before the folders are synced: a power cut may forget names that were given. No row mentions
  them yet, because rows are written after `commit` returns.
"""

import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from staging_api.artifacts.disk import move, sync
from staging_api.artifacts.parts import PartStore
from staging_api.artifacts.spool import Spool
from staging_api.artifacts.store import Batch, Blob, Checkpoint, Room, key_of, no_limit
from staging_api.errors import NotFound


class FolderStore:
    """Files by digest below one folder, written by everybody who can write there."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._spool = Spool(root)

    @property
    def parts(self) -> PartStore:
        """What has arrived of objects that are on their way."""
        return self._spool.parts

    def check(self) -> None:
        """Make sure that the folder is there and can be written."""
        self._spool.check()

    def free_bytes(self) -> int:
        """Room that is left in the store."""
        return self._spool.free_bytes()

    def path(self, sha256: str) -> Path:
        """Where the blob of this digest lies, or would lie.

        Raises:
            NotFound: this is not a digest.
        """
        return self._root / key_of(sha256)

    def has(self, sha256: str) -> bool:
        """Whether the blob is here, whole."""
        return not self.lacks([sha256])

    def lacks(self, digests: Collection[str]) -> set[str]:
        """Those of these blobs that are not here."""
        return {sha256 for sha256 in digests if not os.path.exists(self._name(sha256))}  # noqa: PTH110

    def find(self, sha256: str) -> Blob | None:
        """The blob of this digest, if it is here."""
        try:
            return Blob(sha256, self.path(sha256).stat().st_size)
        except FileNotFoundError:
            return None

    def open(self, sha256: str) -> BinaryIO:
        """Open the file itself, so that a server can send it without reading it."""
        try:
            return self.path(sha256).open("rb")
        except FileNotFoundError:
            raise NotFound(f"the store has no blob {sha256}") from None

    def place(self, sha256: str, file: Path) -> None:
        """Link to the blob."""
        if not self.has(sha256):
            raise NotFound(f"the store has no blob {sha256}")
        file.symlink_to(self.path(sha256).absolute())

    def link(self, sha256: str) -> None:
        """A folder has no URLs."""

    def name_of(self, growing: Path) -> str:
        """Its path below the folder, which is the same volume for all pods."""
        return str(growing.relative_to(self._root))

    def growing(self, name: str) -> Path | None:
        """The file of this name, whichever pod writes it."""
        return self._root / name

    def remove(self, sha256: str) -> None:
        """Free the blob; a reader that has it open still reads it to the end."""
        self.path(sha256).unlink(missing_ok=True)

    def shard(self, shard: str) -> Iterator[tuple[Blob, float]]:
        """The blobs whose digests begin with these two digits, with the times of their last use."""
        with suppress(FileNotFoundError), os.scandir(self._root / "sha256" / shard) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):  # removed while we look
                    facts = entry.stat()
                    yield Blob(entry.name, facts.st_size), facts.st_mtime

    def last_use(self, sha256: str) -> float | None:
        """When a batch last used the blob: the time of its file."""
        try:
            return self.path(sha256).stat().st_mtime
        except FileNotFoundError:
            return None

    @contextmanager
    def batch(self, owner: str, room: Room = no_limit) -> Iterator[Batch]:
        """Open a folder under ``tmp/`` to write to."""
        with self._spool.folder(owner) as folder:
            yield Batch(self, folder, room)

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what dead processes left on its way; give the number of folders removed."""
        return self._spool.sweep(older_than_seconds)

    def mark_used(self, sha256: str) -> bool:
        """Whether the blob is here; its file's time then says that it was just used."""
        try:
            os.utime(self._name(sha256))
        except FileNotFoundError:
            return False
        return True

    def take(self, files: Mapping[str, str], checkpoint: Checkpoint) -> None:
        """Sync the files, move them to their names, and sync the folders of the names.

        Of more than a few files, the file system is synced as a whole: twice for all of them.
        """
        new = {sha256: file for sha256, file in files.items() if not self.mark_used(sha256)}
        sync(list(new.values()))
        checkpoint("batch synced")
        for sha256, file in new.items():
            # If another process was faster this replaces its file by equally durable bytes.
            move(file, self._name(sha256))
            checkpoint("blob named")
        above = self._root / "sha256"
        folders = [above / shard for shard in {sha256[:2] for sha256 in new}]
        # The folders above have new entries, too.
        sync([*folders, above, self._root] if folders else [])
        checkpoint("names synced")

    def _name(self, sha256: str) -> str:
        return f"{self._root}/{key_of(sha256)}"
