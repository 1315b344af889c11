"""State that an attempt leaves for later ones: the version that it read, but none of its parts."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from staging_api.db.engine import Database
from staging_api.sources.model import Source, SourceObject
from staging_api.staging import assembly
from tests.factories import ORIGIN
from tests.stagings import Bench, bench


class Versioned:
    """A source whose versions identify contents for certain; it records all reads."""

    def __init__(self, source: Source, opened: list[str]) -> None:
        self._source = source
        self._opened = opened

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)

    def stat(self, name: str) -> SourceObject:
        return replace(self._source.stat(name), strong=True)

    def open(self, found: SourceObject, start: int = 0, end: int | None = None) -> Any:
        self._opened.append(found.name)
        return self._source.open(found, start, end)


@pytest.fixture
def opened() -> list[str]:
    return []


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path, opened: list[str]) -> Iterator[Bench]:
    def versioned(source: Source) -> Any:
        return Versioned(source, opened)

    with bench(database, database_url, tmp_path, opened=versioned) as made:
        yield made


def test_a_version_that_was_read_is_taken_from_the_store_when_it_is_staged_again(
    at: Bench, opened: list[str]
) -> None:
    url = at.build("R17-1")
    (artifact,) = at.stage(url, "payload").artifacts
    at.stage(at.build("R17-2"), "payload")
    assert opened == ["payload.bin"] * 2
    assert at.rows("SELECT count(*) FROM held_objects") == [(2,)]
    at.service.artifacts.evict(artifact.id, ORIGIN)
    (again,) = at.stage(url, "payload").artifacts
    assert (again.state, again.sha256) == ("staged", artifact.sha256)
    assert opened == ["payload.bin"] * 2


def test_the_parts_of_what_is_staged_are_deleted_and_those_of_others_stay(
    at: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assembly, "key_of", lambda _found: "1" * 64)
    parts = at.store / "parts"
    for name in ("1", "2"):
        (parts / (name * 64)).mkdir(parents=True)
    assert at.stage(at.build(), "payload").state == "staged"
    assert [path.name for path in parts.iterdir()] == ["2" * 64]
