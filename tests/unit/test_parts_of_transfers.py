"""Parts kept by a transfer: what happens to them when its bytes are wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import ArchiveCorrupt, SourceChanged, SourceFailed, StoreFailed
from staging_api.sources.model import SourceObject
from staging_api.staging import transfer
from staging_api.staging.download import key_of
from staging_api.staging.object_reader import TransferMonitor
from staging_api.store.parts import PART_BYTES

LONG = SourceObject("a", "https://x/a", 3 * PART_BYTES, "v")
OTHER = SourceObject("b", "https://x/b", 4 * PART_BYTES, "v")
SHORT = SourceObject("c", "https://x/c", 5, "v")


class Parts:
    """Store of parts, possibly with some of an earlier attempt; records what is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.resumed = False
        self.opened: list[tuple[str | None, int]] = []
        self.forgotten: list[str] = []
        self.whole: list[bool] = []
        monkeypatch.setattr(transfer, "Download", self._download)
        self.transfer: Any = SimpleNamespace(
            store=SimpleNamespace(parts=self),
            source=SimpleNamespace(open=lambda found, *_: f"source of {found.name}"),
            speed=None,
            checkpoint=None,
        )

    @contextmanager
    def open(self, key: str, size_bytes: int) -> Iterator[Any]:
        self.opened.append((key, size_bytes))
        yield SimpleNamespace(path=Path("parts"), resumed=self.resumed)

    def forget(self, key: str) -> None:
        self.forgotten.append(key)

    def _download(self, *_: object, whole: bool, **__: object) -> Any:
        self.whole.append(whole)
        return SimpleNamespace(open="download")

    def fail(self, error: Exception) -> None:
        with transfer._opened(LONG, self.transfer, whole=True):
            raise error


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    return Parts(monkeypatch)


@pytest.mark.parametrize("whole", [True, False])
def test_a_long_object_is_kept_in_parts_of_its_own(parts: Parts, *, whole: bool) -> None:
    for found in (LONG, OTHER):
        with transfer._opened(found, parts.transfer, whole=whole) as (open_at, file):
            how: Any = open_at
            assert (how, file) == ("download", Path("parts") if whole else None)
    keys = [(key_of(LONG), 3 * PART_BYTES), (key_of(OTHER), 4 * PART_BYTES)]
    assert (parts.opened, parts.whole, parts.forgotten) == (keys, [whole, whole], [])


def test_a_short_object_is_read_from_its_source(parts: Parts) -> None:
    with transfer._opened(SHORT, parts.transfer, whole=True) as (open_at, file):
        opened: Any = open_at(0, None)
        assert (opened, file) == ("source of c", None)
    assert parts.opened == []


@pytest.mark.parametrize("error", [ArchiveCorrupt("no tar"), SourceChanged("another")], ids=repr)
@pytest.mark.parametrize("resumed", [True, False])
def test_parts_that_are_wrong_are_forgotten_and_those_alone(
    parts: Parts, error: Exception, *, resumed: bool
) -> None:
    parts.resumed = resumed
    is_ours = resumed and isinstance(error, ArchiveCorrupt)
    with pytest.raises(StoreFailed if is_ours else type(error)) as met:
        parts.fail(error)
    assert parts.forgotten == [key_of(LONG)]
    if is_ours:
        # Our disk may be wrong, not the source: the object is fetched again.
        assert met.value.retry_after_seconds == 1  # type: ignore[attr-defined]


def test_parts_of_a_source_that_failed_are_kept(parts: Parts) -> None:
    parts.resumed = True
    with pytest.raises(SourceFailed):
        parts.fail(SourceFailed("away"))
    assert parts.forgotten == []


@pytest.mark.parametrize(
    ("plain", "first", "seals", "whole"),
    [
        *((True, False, (), True), (False, False, (), False)),
        *((False, True, (), True), (False, False, ("a.asc",), True)),
    ],
)
def test_an_object_that_is_kept_as_it_is_or_verified_first_is_one_file(
    monkeypatch: pytest.MonkeyPatch, *, plain: bool, first: bool, seals: Any, whole: bool
) -> None:
    seen: list[bool] = []

    def opened(*_: object, whole: bool) -> None:
        seen.append(whole)
        raise SourceFailed("enough")

    monkeypatch.setattr(transfer, "_opened", opened)
    lookup: Any = SimpleNamespace(source_object=replace(LONG, seals=seals), hit=None)
    how: Any = SimpleNamespace(verified_first=first, limits=None)
    assembly: Any = SimpleNamespace(plain=plain)
    nothing: Any = None
    with pytest.raises(SourceFailed, match="enough"):
        transfer.bring(lookup, assembly, how, nothing)
    assert seen == [whole]


@pytest.mark.parametrize(("plain", "done"), [(True, ["reuse"]), (False, ["unpack"])])
def test_content_of_the_store_is_kept_or_unpacked_from_there(
    *, plain: bool, done: list[str]
) -> None:
    calls: list[str] = []
    assembly: Any = SimpleNamespace(
        plain=plain,
        reuse=lambda *_: calls.append("reuse"),
        unpack=lambda *_: calls.append("unpack"),
    )
    monitor = TransferMonitor(lambda *_: None, lambda: None, None)
    lookup: Any = SimpleNamespace(
        source_object=LONG, hit=SimpleNamespace(blob=SimpleNamespace(size_bytes=1))
    )
    how: Any = SimpleNamespace(store=None, monitor=monitor, limits=None)
    nothing: Any = None
    transfer.bring(lookup, assembly, how, nothing)
    assert calls == done
