"""Recorder of syncs and renames, which shows what would be left after a power cut.

A file is durable when it gets its name if nothing was written to it after its last sync. So a
sync that is missing, or comes too early or too late, shows in the record.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from staging_api.store import disk


@dataclass(frozen=True)
class Named:
    """A file that got a name.

    Attributes:
        name: the last part of its path.
        durable: whether its whole content was on the disk before.
        size_bytes: size that other processes would read under the name.
    """

    name: str
    durable: bool
    size_bytes: int


@dataclass
class Record:
    """Recorded operations, in order: the paths that were synced, and the names that were given."""

    steps: list[str | Named] = field(default_factory=list)
    _synced: dict[tuple[int, int], tuple[int, int]] = field(default_factory=dict)

    @property
    def named(self) -> list[Named]:
        """Return only the records of names."""
        return [step for step in self.steps if isinstance(step, Named)]

    @property
    def synced_last(self) -> set[str]:
        """Return the paths that were synced after the last name was given."""
        last = max((n for n, step in enumerate(self.steps) if isinstance(step, Named)), default=-1)
        return {step for step in self.steps[last + 1 :] if isinstance(step, str)}

    def sync(self, descriptor: int) -> None:
        """Record the sync of a file, or of a folder's whole file system."""
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        self.steps.append(str(path))
        self._note(os.fstat(descriptor))

    def sync_all(self, path: str) -> None:
        """Record the sync of a file system: all files beside this one are durable."""
        self.steps.append(f"all of the disk of {Path(path).parent}")
        for file in Path(path).parent.iterdir():
            self._note(file.stat())

    def name(self, old: Any, new: Any) -> None:
        """Record that a file gets a name."""
        facts = os.lstat(old)
        durable = self._synced.get((facts.st_dev, facts.st_ino)) == self._state(facts)
        self.steps.append(Named(Path(new).name, durable, facts.st_size))

    def _note(self, facts: os.stat_result) -> None:
        self._synced[facts.st_dev, facts.st_ino] = self._state(facts)

    @staticmethod
    def _state(facts: os.stat_result) -> tuple[int, int]:
        return facts.st_size, facts.st_mtime_ns


def recorded(monkeypatch: pytest.MonkeyPatch) -> Record:
    """Record the syncs and renames of this process from now on; they are still executed."""
    record = Record()

    def after(note: Callable[..., None], call: Callable[..., Any]) -> Callable[..., Any]:
        def both(*given: Any, **options: Any) -> Any:
            result = call(*given, **options)
            note(*given)
            return result

        return both

    def before(note: Callable[..., None], call: Callable[..., Any]) -> Callable[..., Any]:
        def both(*given: Any, **options: Any) -> Any:
            note(*given)
            return call(*given, **options)

        return both

    for name in ("fsync", "fdatasync"):
        monkeypatch.setattr(os, name, after(record.sync, getattr(os, name)))
    for name in ("rename", "replace", "link"):
        monkeypatch.setattr(os, name, before(record.name, getattr(os, name)))
    syncfs = disk._sync_file_system
    monkeypatch.setattr(disk, "_sync_file_system", after(record.sync_all, syncfs))
    return record
