"""Work that other processes undo repeatedly: a few attempts, then an error."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import NoSpace, Unavailable
from staging_api.staging import attempt, eviction
from staging_api.staging.attempt import Attempt
from staging_api.staging.eviction import Eviction, prune
from staging_api.staging.fetched import FetchedArtifact, StagedFile
from staging_api.staging.quota import Quota
from staging_api.staging.repository import artifact_rows, reading, space_rows, store_rows
from staging_api.staging.repository.space_rows import EvictableArtifact

ONE = "1" * 64


class Upkeep:
    """Store of 100 bytes; each query of its space returns the next of these used sizes."""

    def __init__(self, *staying: int) -> None:
        self.terms = SimpleNamespace(quota_bytes=100, evictable_seconds=7.0)
        self.database = SimpleNamespace(begin=nullcontext, connect=nullcontext)
        self.identity = SimpleNamespace(check=lambda: self.done.append("checked"))
        self.done: list[str] = []
        self._staying = iter((*staying, *[staying[-1]] * 99) if staying else ())

    def space(self) -> Any:
        return SimpleNamespace(staying=next(self._staying, 0), used=60, reserved=0)

    def collect(self, *, busy_too: bool = False) -> int:
        self.done.append("collected busy ones" if busy_too else "collected")
        return 1


def evictable(number: int) -> EvictableArtifact:
    return EvictableArtifact(str(number), "gs://x", "archive", "a", 10)


class Plans:
    """Plans one more eviction each time, and records for which need."""

    def __init__(self, *, can_evict: bool) -> None:
        self.asked: list[tuple[int, float, set[str]]] = []
        self.evicted: list[str] = []
        self._can_evict = can_evict

    def plan(
        self,
        _database: object,
        need: int,
        idle_seconds: float,
        _sparing: str | None = None,
        *,
        skipped: set[str],
    ) -> Eviction:
        self.asked.append((need, idle_seconds, set(skipped)))
        return Eviction((evictable(len(self.asked)),), 10)

    def evict(self, _upkeep: object, artifact: EvictableArtifact, *_: object) -> bool:
        self.evicted.append(artifact.id)
        return self._can_evict


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plans]:
    def made(*, can_evict: bool) -> Plans:
        plans = Plans(can_evict=can_evict)
        monkeypatch.setattr(eviction, "plan", plans.plan)
        monkeypatch.setattr(eviction, "evict", plans.evict)
        return plans

    return made


def lacking(monkeypatch: pytest.MonkeyPatch, *answers: int) -> Iterator[int]:
    """Let each reservation lack this many bytes."""
    left = iter(answers)
    monkeypatch.setattr(space_rows, "reserve_upload", lambda *_: next(left))
    return left


def reserve(upkeep: Any, count: int) -> None:
    Quota(upkeep).reserve_upload("one", count)


def test_space_that_others_take_is_freed_five_times(
    monkeypatch: pytest.MonkeyPatch, planned: Callable[..., Plans]
) -> None:
    plans, upkeep = planned(can_evict=True), Upkeep()
    left = lacking(monkeypatch, 9, 8, 7, 6, 5, 4, 3, 2)
    with pytest.raises(NoSpace, match=r"^50 bytes are needed, 2 more ") as refused:
        reserve(upkeep, 50)
    assert [need for need, *_ in plans.asked] == [8, 7, 6, 5, 4]
    assert plans.evicted == ["1", "2", "3", "4", "5"]
    assert upkeep.done == ["collected"] * 6 + ["collected busy ones"]
    assert (next(left, None), refused.value.retry_after_seconds) == (None, 7.0)


def test_space_is_freed_no_more_once_there_is_enough(
    monkeypatch: pytest.MonkeyPatch, planned: Callable[..., Plans]
) -> None:
    plans, upkeep = planned(can_evict=True), Upkeep()
    lacking(monkeypatch, 9, 8, 7, 6, 5, 4, 0)
    reserve(upkeep, 100)
    assert (len(plans.asked), upkeep.done[-1]) == (5, "collected")


def test_what_cannot_be_evicted_is_not_planned_again(
    monkeypatch: pytest.MonkeyPatch, planned: Callable[..., Plans]
) -> None:
    plans = planned(can_evict=False)
    lacking(monkeypatch, 9, 8, 8, 0)
    reserve(Upkeep(), 50)
    assert [skipped for *_, skipped in plans.asked] == [set(), {"1"}]


def test_a_prune_plans_five_times_without_what_cannot_be_evicted(
    planned: Callable[..., Plans],
) -> None:
    plans, upkeep = planned(can_evict=False), Upkeep(50, 50, 49, 48, 47, 46, 40)
    found = prune(upkeep, keep_bytes=10)  # type: ignore[arg-type]
    assert [need for need, *_ in plans.asked] == [40, 39, 38, 37, 36]
    assert [skipped for *_, skipped in plans.asked] == [
        {str(number) for number in range(1, before + 1)} for before in range(5)
    ]
    assert (found.artifacts, found.freed_bytes) == ((), 10)
    assert upkeep.done == ["checked", "collected"]


def test_a_prune_that_evicts_what_it_planned_plans_once(planned: Callable[..., Plans]) -> None:
    plans, upkeep = planned(can_evict=True), Upkeep(50, 50, 60)
    found = prune(upkeep, idle_seconds=3.0)  # type: ignore[arg-type]
    assert plans.asked == [(50, 3.0, set())]
    # Meanwhile other processes staged more than was freed.
    assert (found.artifacts, found.freed_bytes) == ((evictable(1),), 0)


def test_a_prune_that_only_says_what_it_would_do_evicts_nothing(
    planned: Callable[..., Plans],
) -> None:
    plans, upkeep = planned(can_evict=True), Upkeep(50)
    found = prune(upkeep, dry_run=True)  # type: ignore[arg-type]
    assert (plans.asked, plans.evicted) == ([(50, 7.0, set())], [])
    assert (found.artifacts, found.freed_bytes, upkeep.done) == ((evictable(1),), 10, ["checked"])


class Rows:
    """Rows of an artifact whose contents are reported missing this many times."""

    def __init__(self, times: int) -> None:
        self.looks: list[dict[str, int]] = []
        self.is_done = False
        self._times = times

    def lacks(self, contents: dict[str, int]) -> list[str]:
        self.looks.append(contents)
        return []

    def unsure(self, *_: object, **_given: object) -> set[str]:
        return {ONE} if len(self.looks) < self._times else set()

    def settle(self, *_: object) -> None:
        self.is_done = True


def recorded(monkeypatch: pytest.MonkeyPatch, times: int, files: int) -> Rows:
    """Record an artifact with this many files."""
    rows = Rows(times)

    def guarded(*_: object) -> AbstractContextManager[None]:
        return nullcontext()

    monkeypatch.setattr(attempt, "guarded", guarded)
    is_many = files > 1000
    for name, does in {
        "reading.prefix_of": lambda *_: "x",
        "file_rows.forget_some_files": lambda *_: False,
        "pack_rows.forget_packed": lambda *_: (0, None),
        "file_rows.add_files": rows.unsure,
        "artifact_rows.mark_staged": (lambda *_, **_given: set()) if is_many else rows.unsure,
        "object_rows.remember_objects": lambda *_: None,
        "staging_rows.settle": rows.settle,
    }.items():
        monkeypatch.setattr(f"staging_api.staging.repository.{name}", does)
    artifact = SimpleNamespace(id="a", archive_url="gs://x", lock_kind="archive")
    held = SimpleNamespace(lease=None)
    database = SimpleNamespace(connect=nullcontext)
    made: Any = (database, rows, "s", artifact, held, 1)
    fetched = FetchedArtifact("u", None, ONE, 5, [StagedFile("f", ONE, 5)] * files)
    with suppress(Unavailable):
        Attempt(*made).record(fetched, 5, [])
    return rows


@pytest.mark.parametrize("files", [1, 1001])
def test_contents_that_come_and_go_are_looked_for_five_times(
    monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    in_time, too_late = (recorded(monkeypatch, times, files) for times in (4, 5))
    assert (in_time.looks, in_time.is_done) == ([{ONE: 5}] * 4, True)
    assert (too_late.looks, too_late.is_done) == ([{ONE: 5}] * 5, False)


def test_contents_that_the_store_lacks_are_forgotten_and_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    forgotten: list[list[str]] = []
    marked = "mark_unnamed_for_deletion"
    monkeypatch.setattr(store_rows, marked, lambda _conn, lacking: forgotten.append(lacking))
    monkeypatch.setattr(reading, "prefix_of", lambda *_: "x")
    monkeypatch.setattr(artifact_rows, "mark_staged", lambda *_, **_given: {ONE})
    monkeypatch.setattr(attempt, "guarded", lambda *_: nullcontext())
    artifact = SimpleNamespace(id="a", archive_url="gs://x", lock_kind="archive")
    blobs = SimpleNamespace(lacks=list)
    database = SimpleNamespace(connect=nullcontext)
    made: Any = (database, blobs, "s", artifact, SimpleNamespace(lease=None), 1)
    fetched = FetchedArtifact("u", None, ONE, 5, [StagedFile("f", ONE, 5)])
    with pytest.raises(Unavailable, match="they are fetched again") as refused:
        Attempt(*made).record(fetched, 5, [])
    assert (forgotten, refused.value.retry_after_seconds) == ([[ONE]], 1)
