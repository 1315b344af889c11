"""Late objects: times and owners of repeated looks, and what counts as arrived."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.catalogue.model import ArtifactKind, Choice, Pattern
from staging_api.errors import ArtifactAmbiguous, SourceFailed
from staging_api.sources.url import parse
from staging_api.staging import late_objects, planning
from staging_api.staging.late_objects import MissingObjects
from staging_api.staging.model import StagedArtifact, StagingRequest

URL = parse("https://archive.example/R17")


def row(name: str, url: str | None = None, version: str | None = None) -> StagedArtifact:
    empty = dict.fromkeys(StagedArtifact.__dataclass_fields__)
    given = {"name": name, "archive_url": URL.canonical, "source_url": url}
    return StagedArtifact(**{**empty, **given, "source_version": version})  # type: ignore[arg-type]


class Archive:
    """Archive in which objects arrive late, by its own clock; records each look."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        self.rows: list[StagedArtifact] = [row("a"), row("b")]
        self.there: dict[str, list[str]] = {}
        self.versions: dict[str, str | None] = {}
        self.error: Exception | None = None
        self.took = 0.0
        self.looks = 0
        self.closed = 0
        self.waits: list[bool] = []
        self.during: list[Any] = []
        monkeypatch.setattr(planning, "missing", lambda *_: self.rows)
        monkeypatch.setattr(late_objects, "ArchiveNames", self._names)
        database: Any = SimpleNamespace(connect=nullcontext)
        options: Any = None
        self.missing = MissingObjects(database, self._open, options, lambda: self.now)
        kinds = [
            ArtifactKind(name, "build", "foreground", (Choice(Pattern(name)),)) for name in "abc"
        ]
        self.request = StagingRequest(URL, kinds)

    def came(self) -> set[str]:
        return set(self.missing.came(self.request))

    def _open(self, _url: object) -> Any:
        self.looks += 1
        self.now += self.took
        for each in self.during:
            each()
        if self.error:
            raise self.error
        return SimpleNamespace(url=URL.canonical, stat=self._stat, close=self._close)

    def _close(self) -> None:
        self.closed += 1

    def _stat(self, name: str) -> Any:
        return SimpleNamespace(version=self.versions.get(name))

    def _names(self, *_: object, waits: bool) -> Any:
        self.waits.append(waits)
        return SimpleNamespace(find=self._find)

    def _find(self, kind: ArtifactKind) -> list[str]:
        if kind.name in self.there and not self.there[kind.name]:
            raise ArtifactAmbiguous("two")
        return self.there.get(kind.name, [])


@pytest.fixture
def archive(monkeypatch: pytest.MonkeyPatch) -> Archive:
    return Archive(monkeypatch)


def test_if_nothing_was_missing_nothing_is_looked_for(archive: Archive) -> None:
    archive.rows = []
    assert (archive.came(), archive.looks) == (set(), 0)


def test_an_object_that_exists_now_has_arrived(archive: Archive) -> None:
    archive.there = {"b": ["b"]}
    assert (archive.came(), archive.looks, archive.closed) == ({"b"}, 1, 1)
    # A look does not wait for an upload.
    assert archive.waits == [False]


def test_a_quick_source_is_looked_at_every_two_seconds(archive: Archive) -> None:
    for seconds, looks in ((0.0, 1), (1.9, 1), (0.1, 2), (1.9, 2), (0.1, 3)):
        archive.now += seconds
        assert (archive.came(), archive.looks) == (set(), looks)


def test_each_look_makes_room_for_the_next(archive: Archive) -> None:
    for number in range(1, 10):
        assert (archive.came(), archive.looks) == (set(), number)
        archive.now += 2


def test_a_slow_source_is_looked_at_for_a_tenth_of_the_time(archive: Archive) -> None:
    archive.took = 1.0
    assert archive.came() == set()
    archive.took = 0.0
    for seconds, looks in ((9.9, 1), (0.1, 2)):
        archive.now += seconds
        assert (archive.came(), archive.looks) == (set(), looks)


def test_what_came_stays_known_until_the_next_look(archive: Archive) -> None:
    archive.there = {"a": ["a"]}
    assert archive.came() == {"a"}
    archive.there = {}
    assert archive.came() == {"a"}
    archive.now += 2
    assert (archive.came(), archive.looks) == (set(), 2)


def test_only_what_is_due_is_looked_for(archive: Archive) -> None:
    archive.rows = [row("a")]
    assert archive.came() == set()
    archive.now += 1
    archive.rows = [row("a"), row("b")]
    archive.there = {"a": ["a"], "b": ["b"]}
    assert archive.came() == {"b"}
    archive.now += 1
    assert archive.came() == {"a", "b"}


def test_while_one_looks_others_are_told_what_the_look_before_found(archive: Archive) -> None:
    told: list[set[str]] = []
    archive.during = [lambda: told.append(archive.came())]
    archive.there = {"a": ["a"]}
    assert archive.came() == {"a"}
    archive.now += 2
    archive.there = {}
    assert archive.came() == set()
    assert told == [set(), {"a"}]
    archive.now += 2
    assert archive.came() == set()
    assert (told[2], archive.looks) == (set(), 3)


def test_a_look_that_hangs_is_given_up_by_others_after_five_seconds(archive: Archive) -> None:
    looks: list[tuple[float, int]] = []

    def others() -> None:
        if archive.looks == 1:
            for seconds in (4.9, 0.1):
                archive.now += seconds
                archive.came()
                looks.append((seconds, archive.looks))

    archive.during = [others]
    archive.came()
    assert looks == [(4.9, 1), (0.1, 2)]


@pytest.mark.parametrize(("seconds", "found"), [(3.0, {"a"}), (3.1, set())])
def test_a_look_takes_three_seconds_at_most(
    archive: Archive, monkeypatch: pytest.MonkeyPatch, seconds: float, found: set[str]
) -> None:
    def checked(source: Any, check: Any) -> Any:
        return SimpleNamespace(stat=lambda name: check() or source.stat(name), close=source.close)

    monkeypatch.setattr(late_objects, "Interruptible", checked)
    archive.there, archive.versions = {"a": ["x"]}, {"x": "2"}
    archive.rows = [row("a", "https://archive.example/R17/x", "1")]
    archive.took = seconds
    assert archive.came() == found


def test_a_source_that_is_away_brings_nothing_and_is_not_asked_at_once(archive: Archive) -> None:
    archive.there, archive.error = {"a": ["a"]}, SourceFailed("away")
    assert (archive.came(), archive.came(), archive.looks) == (set(), set(), 1)
    archive.error = None
    archive.now += 2
    assert archive.came() == {"a"}


def test_two_objects_for_one_artifact_are_for_its_request_to_refuse(archive: Archive) -> None:
    archive.there = {"a": []}
    assert archive.came() == {"a"}


@pytest.mark.parametrize(
    ("before", "now", "came"),
    [("1", "1", False), ("1", "2", True), (None, "2", False), ("1", None, True)],
)
def test_of_an_object_that_had_nothing_another_version_may_have_some(
    archive: Archive, before: str | None, now: str | None, *, came: bool
) -> None:
    archive.rows = [row("a", "https://archive.example/R17/x", before), row("b")]
    archive.there, archive.versions = {"a": ["x"]}, {"x": now}
    assert archive.came() == ({"a"} if came else set())


def test_an_object_that_had_nothing_and_is_gone_did_not_come(archive: Archive) -> None:
    archive.rows = [row("a", "https://archive.example/R17/x", "1")]
    assert archive.came() == set()
    # An object that exists now, but was never looked at, did arrive.
    archive.rows, archive.there, archive.versions = [row("b")], {"b": ["x"]}, {"x": None}
    assert archive.came() == {"b"}
