"""Objects without a version: after an interruption read again from the start, a few times."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import SourceFailed
from staging_api.sources.model import SourceObject
from staging_api.staging import taken
from staging_api.staging.object_reader import TransferMonitor

CONTENT = b"0123456789"


class Source:
    """Source whose first responses break off in the middle."""

    def __init__(self, broken: int, *, version: str | None = None, retryable: bool = True) -> None:
        self.asked = 0
        self._broken = broken
        self._version = version
        self._retryable = retryable

    @contextmanager
    def take(self, _source: object, name: str) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
        self.asked += 1
        found = SourceObject(name, f"https://x/{name}", len(CONTENT), self._version)
        yield found, self._chunks(is_broken=self.asked <= self._broken)

    def _chunks(self, *, is_broken: bool) -> Iterator[bytes]:
        yield CONTENT[:4]
        if is_broken:
            raise SourceFailed("it broke off", retryable=self._retryable)
        yield CONTENT[4:]


def read(
    source: Source, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[int], bytes | None]:
    """Read the object; return the counted bytes, and the content of the file."""
    done: list[int] = []
    monkeypatch.setattr(taken, "take", source.take)
    monitor = TransferMonitor(lambda count, _total: done.append(count), lambda: None, None)
    nothing: Any = SimpleNamespace()
    file = folder / "file"
    try:
        taken.taken(nothing, "a", file, monitor, lambda _count: None)
    except SourceFailed:
        return done, None
    return done, file.read_bytes()


def open_below(folder: Path) -> list[Path]:
    """Return the files below a folder that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        # Another thread may close a descriptor meanwhile.
        with suppress(FileNotFoundError):
            found.append(link.readlink())
    return [path for path in found if path.is_relative_to(folder)]


@pytest.mark.parametrize(("broken", "asked"), [(0, 1), (2, 3), (3, 3)])
def test_it_is_read_three_times_and_its_bytes_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: int, asked: int
) -> None:
    source = Source(broken)
    done, content = read(source, tmp_path, monkeypatch)
    assert (source.asked, open_below(tmp_path)) == (asked, [])
    assert (content, done[-1]) == ((CONTENT, 10) if broken < 3 else (None, 4))


@pytest.mark.parametrize("how", [{"version": "1"}, {"retryable": False}], ids=str)
def test_what_can_be_resumed_or_will_not_pass_is_not_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any]
) -> None:
    source = Source(1, **how)
    assert read(source, tmp_path, monkeypatch) == ([4], None)
    assert source.asked == 1


@pytest.mark.parametrize(("size", "reserved"), [(10, [10]), (None, [0, 4, 6])])
def test_space_is_reserved_before_or_as_the_bytes_come_if_nobody_says_how_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int | None, reserved: list[int]
) -> None:
    @contextmanager
    def take(*_: object) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
        yield SourceObject("a", "https://x/a", size), iter((CONTENT[:4], CONTENT[4:]))

    monkeypatch.setattr(taken, "take", take)
    monitor = TransferMonitor(lambda _count, _total: None, lambda: None, None)
    nothing: Any = SimpleNamespace()
    asked: list[int] = []
    found, open_at, _ = taken.taken(nothing, "a", tmp_path / "file", monitor, asked.append)
    assert (found.size_bytes, asked) == (10, reserved)
    for start, end in ((0, None), (3, 4), (9, None), (10, None)):
        with open_at(start, end) as chunks:
            assert b"".join(chunks) == CONTENT[start:end]
