"""Prune by token: it evicts what its preview listed, and reports its result."""

from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import Conflict, WrongStore
from staging_api.staging import eviction
from staging_api.staging.eviction import Eviction
from staging_api.staging.pruning import Pruning
from staging_api.staging.repository.space_rows import EvictableArtifact
from tests.factories import ORIGIN
from tests.statements import patch_statement

ONE, TWO, THREE = (EvictableArtifact(name, "gs://x", "archive", name, 10) for name in "123")


class Store:
    """Store with this many remaining bytes, and the row of a prune."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.staying = [100, 70]
        self.record = SimpleNamespace(
            artifact_ids=("1", "2", "3"), idle_before="then", begun_at=None, begun_by=None
        )
        self.may_begin = True
        self.stays = {"2"}
        self.done: list[Any] = []
        for name, does in {
            "add_prune": self._add,
            "find_prune": lambda _c, token: self.record,
            "idle_of": lambda _c, ids: [each for each in (ONE, TWO, THREE) if each.id in ids],
            "begin_prune": self._begin,
            "end_prune": lambda _c, *given: self.done.append(("end", *given)),
        }.items():
            patch_statement(monkeypatch, name, does)
        monkeypatch.setattr(eviction, "plan", self._plan)
        monkeypatch.setattr(eviction, "evict", self._evict)
        upkeep: Any = SimpleNamespace(
            terms=SimpleNamespace(evictable_seconds=360.0),
            identity=SimpleNamespace(check=lambda: self.done.append("identity")),
            database=SimpleNamespace(connect=nullcontext, begin=nullcontext),
            space=lambda: SimpleNamespace(staying=self.staying.pop(0)),
            collect=lambda: self.done.append("collect"),
        )
        self.upkeep = upkeep
        self.pruning = Pruning(upkeep)

    def _add(self, _conn: object, **given: Any) -> str:
        self.done.append(("add", given["caller"], given["idle_seconds"], given["artifact_ids"]))
        return "token"

    def _begin(self, _conn: object, *given: str) -> bool:
        self.done.append(("begin", *given))
        return self.may_begin

    def _plan(self, _db: object, need: int, idle_seconds: float, *, most: int) -> Eviction:
        self.done.append(("plan", need, idle_seconds, most))
        return Eviction((ONE, TWO), 20)

    def _evict(self, _upkeep: object, found: EvictableArtifact, *given: Any, **more: Any) -> bool:
        self.done.append(("evict", found.id, *given, more["idle_before"]))
        return found.id not in self.stays


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


@pytest.mark.parametrize(("idle", "seconds"), [(None, 360.0), (0.0, 0.0), (9.0, 9.0)])
def test_a_preview_lists_a_thousand_artifacts_at_most_by_their_idleness(
    store: Store, idle: float | None, seconds: float
) -> None:
    found: Any = store.pruning.preview("me", idle_seconds=idle, keep_bytes=30)
    assert (found.record, found.artifacts) == (store.record, (ONE, TWO))
    assert store.done == [("plan", 70, seconds, 1000), ("add", "me", seconds, ["1", "2"])]


def test_a_prune_evicts_what_stayed_idle_and_then_removes_it(store: Store) -> None:
    found = store.pruning.run("token", "full", ORIGIN)
    assert found.artifacts == [TWO]
    assert store.done == [
        *("identity", ("begin", "token", "tester", "full")),
        *(("evict", each, "space", 0.0, ORIGIN, "then") for each in "123"),
        *(("end", "token", 2, 30), "collect"),
    ]


def test_a_prune_frees_nothing_if_others_stage_more_meanwhile(store: Store) -> None:
    store.staying = [100, 101]
    store.pruning.run("token", "full", ORIGIN)
    assert ("end", "token", 2, 0) in store.done


@pytest.mark.parametrize(
    ("begun_at", "said"),
    [
        (datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC), "begun by you at 2026-02-03 04:05:06 UTC"),
        (None, "the preview is older than an hour"),
    ],
)
def test_a_prune_is_done_once_and_soon(store: Store, begun_at: Any, said: str) -> None:
    store.may_begin = False
    store.record.begun_at, store.record.begun_by = begun_at, "you"
    with pytest.raises(Conflict, match=said):
        store.pruning.run("token", "full", ORIGIN)
    assert store.done == ["identity", ("begin", "token", "tester", "full")]


def test_of_another_store_nothing_is_evicted(store: Store) -> None:
    def refuse() -> None:
        raise WrongStore("another")

    store.upkeep.identity.check = refuse
    with pytest.raises(WrongStore):
        store.pruning.run("token", "full", ORIGIN)
    assert store.done == []
