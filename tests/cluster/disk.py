"""A disk of its own for the store, that can be made full."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BYTES = 4 << 30


@dataclass(frozen=True)
class Disk:
    """A file system in memory; takes only what is written to it."""

    folder: Path

    def fill(self) -> None:
        """Leave no room, but for what is there."""
        found = os.statvfs(self.folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self._mount("remount", max(used, found.f_frsize))

    def empty(self) -> None:
        """Give the room back."""
        self._mount("remount", _BYTES)

    def _mount(self, how: str, size: int) -> None:
        options = f"{how},size={size}" if how else f"size={size},mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True)


def can_mount() -> bool:
    """Whether this process may have a disk of its own: root may."""
    return os.geteuid() == 0


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A disk at `folder` for the block."""
    made = Disk(folder)
    folder.mkdir()
    made._mount("", _BYTES)
    try:
        yield made
    finally:
        # Lazily: a process that is killed may still have a file of it open.
        subprocess.run(["umount", "--lazy", folder], check=True)
