"""Spool: the first place of bytes for a store, with a folder for each batch, and the parts.

What happens if the process dies? Its folder is left; nothing else refers to it, and `Spool.sweep`
removes it once it is old, which means unchanged for some time by the clock that dates the files; no
process uses its own clock for this. Even if that clock jumps, a folder in use is protected, because
its owner holds a lock on it. A folder that cannot be read or removed is skipped, and counted.
"""

import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from staging_api.errors import StagingApiError, Unavailable
from staging_api.store.disk import (
    children,
    disk_failures,
    kept_in_use,
    newest_change,
    remove_unused,
    time_of,
)
from staging_api.store.parts import PartStore

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SweepResult:
    """Result of a sweep.

    Attributes:
        removed: number of folders of dead processes that were removed.
        failed: folders that could not be removed.
    """

    removed: int = 0
    failed: tuple[str, ...] = ()

    def __add__(self, other: "SweepResult") -> "SweepResult":
        return SweepResult(self.removed + other.removed, self.failed + other.failed)


class Spool:
    """Two folders: ``tmp/`` for files of batches, ``parts/`` for received parts of objects."""

    def __init__(self, root: Path) -> None:
        self._tmp = root / "tmp"
        #: Received parts of unfinished objects.
        self.parts = PartStore(root / "parts")
        self._parts = root / "parts"

    def check(self) -> None:
        """Check that the spool can be written; needs no space.

        Raises:
            Unavailable: the folder does not exist, or is read-only.
        """
        with suppress(OSError):  # it exists, or is checked below
            self._tmp.mkdir(parents=True)
        if not os.access(self._tmp, os.R_OK | os.W_OK | os.X_OK):
            raise Unavailable("the store cannot be written")

    def free_bytes(self) -> int:
        """Return the free space on its disk."""
        room = self._disk()
        return room.f_bavail * room.f_frsize

    def capacity_bytes(self) -> int:
        """Return the size of its disk, without the blocks that only root may use."""
        room = self._disk()
        return (room.f_blocks - room.f_bfree + room.f_bavail) * room.f_frsize

    def time(self) -> float:
        """Return the time (seconds, epoch) by the clock that dates the files here."""
        return time_of(self._tmp)

    @contextmanager
    def folder(self, owner: str) -> Iterator[Path]:
        """Create an empty folder for the block; its path contains `owner`, for operators.

        Raises:
            NoSpace: the disk is full.
        """
        folder = self._tmp / owner / token_hex(8)
        with ExitStack() as stack:
            with disk_failures(folder):
                stack.enter_context(kept_in_use(folder, _make))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):  # another batch of this owner is still working
                    folder.parent.rmdir()

    def sweep(self, horizon: float) -> SweepResult:
        """Remove the folders of dead processes, each independently.

        Args:
            horizon: folders changed at this time (seconds, epoch) or later are kept.
        """
        swept = SweepResult()
        for owner in children(self._tmp):
            if owner.is_symlink():
                continue  # its target is not ours
            swept += sweep_folders(owner, horizon)
            with suppress(OSError):
                owner.rmdir()
        return swept + sweep_folders(self._parts, horizon)

    def _disk(self) -> os.statvfs_result:
        # Before the first write the folder does not exist: use the nearest existing one above it.
        there = next(folder for folder in self._tmp.parents if folder.exists())
        return os.statvfs(there)


def sweep_folders(above: Path, horizon: float) -> SweepResult:
    """Remove the entries of a folder that last changed before `horizon` and are not in use."""
    removed, failed = 0, []
    for entry in children(above):
        try:
            if newest_change(entry) >= horizon:
                continue
            removed += remove_unused(entry)
        except (OSError, StagingApiError) as error:
            log.warning("%s cannot be removed, and is passed over: %s", entry, error)
            failed.append(str(entry))
    return SweepResult(removed, tuple(failed))


def _make(folder: Path) -> None:
    """Create a folder; the end of another batch may remove the folder above it meanwhile."""
    while True:
        try:
            folder.mkdir(parents=True)
        except (FileNotFoundError, FileExistsError):
            # The second error: the folder existed when it was to be created, and was gone when
            # checked.
            continue
        return
