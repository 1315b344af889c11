"""Separate disk for the store, which can be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_BYTES = 4 << 30


@dataclass(frozen=True)
class Disk:
    """File system in memory; it uses only as much memory as is written to it."""

    folder: Path

    def fill(self) -> None:
        """Fill all remaining space."""
        found = os.statvfs(self.folder)
        used = (found.f_blocks - found.f_bfree) * found.f_frsize
        self._mount("remount", max(used, found.f_frsize))

    def empty(self) -> None:
        """Free the space again."""
        self._mount("remount", _BYTES)

    def _mount(self, how: str, size: int) -> None:
        options = f"{how},size={size}" if how else f"size={size},mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True)


def can_mount() -> bool:
    """Return whether this process can mount a disk: root can."""
    return os.geteuid() == 0


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """Mount a disk at `folder` for the block."""
    made = Disk(folder)
    folder.mkdir()
    made._mount("", _BYTES)
    try:
        yield made
    finally:
        # Lazily: a killed process may still have a file on it open.
        subprocess.run(["umount", "--lazy", folder], check=True)
