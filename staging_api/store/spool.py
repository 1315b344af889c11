"""Where bytes are first written, on their way into a store: a folder for each batch, and the parts.

What happens if the process dies? Its folder is left; nothing else knows of it, and `Spool.sweep`
removes it once it is old. Old is what has not changed for a time by the clock that dates the files;
no process trusts its own clock in this. Should that clock jump, a folder in use is spared all the
same, since its owner keeps a lock on it. A folder that cannot be read or removed is passed over,
and counted.
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
    """What a sweep did.

    Attributes:
        removed: folders of dead processes that are gone.
        failed: folders that are still there, and were passed over.
    """

    removed: int = 0
    failed: tuple[str, ...] = ()

    def __add__(self, other: "SweepResult") -> "SweepResult":
        return SweepResult(self.removed + other.removed, self.failed + other.failed)


class Spool:
    """Two folders: ``tmp/`` has what batches write, ``parts/`` what has arrived of objects."""

    def __init__(self, root: Path) -> None:
        self._tmp = root / "tmp"
        #: Received parts of unfinished objects.
        self.parts = PartStore(root / "parts")
        self._parts = root / "parts"

    def check(self) -> None:
        """Make sure that it can be written; needs no space.

        Raises:
            Unavailable: the folder is not there, or is read-only.
        """
        with suppress(OSError):  # it is there, or is looked at below
            self._tmp.mkdir(parents=True)
        if not os.access(self._tmp, os.R_OK | os.W_OK | os.X_OK):
            raise Unavailable("the store cannot be written")

    def free_bytes(self) -> int:
        """Free space on its disk."""
        # Before the first write the folder does not exist: the nearest one above it does.
        there = next(folder for folder in self._tmp.parents if folder.exists())
        room = os.statvfs(there)
        return room.f_bavail * room.f_frsize

    def time(self) -> float:
        """The time (seconds, epoch) by the clock that dates the files here."""
        return time_of(self._tmp)

    @contextmanager
    def folder(self, owner: str) -> Iterator[Path]:
        """Make an empty folder for the block; its name has `owner`, for operators.

        Raises:
            NoSpace: the disk is full.
        """
        folder = self._tmp / owner / token_hex(8)
        with ExitStack() as stack:
            with disk_failures():
                stack.enter_context(kept_in_use(folder, _make))
            try:
                yield folder
            finally:
                shutil.rmtree(folder, ignore_errors=True)
                with suppress(OSError):  # another batch of this owner is still at work
                    folder.parent.rmdir()

    def sweep(self, horizon: float) -> SweepResult:
        """Remove the folders of dead processes, each by itself.

        Args:
            horizon: what changed at this time (seconds, epoch) or later is not old.
        """
        swept = SweepResult()
        for owner in children(self._tmp):
            if owner.is_symlink():
                continue  # what it leads to is not ours
            swept += sweep_folders(owner, horizon)
            with suppress(OSError):
                owner.rmdir()
        return swept + sweep_folders(self._parts, horizon)


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
    """Make a folder; the one above it may be removed, by the end of another batch, meanwhile."""
    while True:
        try:
            folder.mkdir(parents=True)
        except (FileNotFoundError, FileExistsError):
            # The second: it was there when it was to be made, and gone when it was looked at.
            continue
        return
