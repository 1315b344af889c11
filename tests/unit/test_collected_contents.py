"""Garbage collection: marked contents are removed in turns, each independently."""

import logging
from contextlib import nullcontext
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.errors import StoreFailed, Unavailable, WrongStore
from staging_api.staging import upkeep
from staging_api.staging.upkeep import CollectionResult, StoreTerms, Upkeep
from tests.statements import patch_statement

NOW = 1000.0


class Store:
    """Store with marked contents; records what happens to them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.marked: list[str] = []
        self.busy: set[str] = set()
        self.stuck: set[str] = set()
        self.away: Exception | None = None
        self.identity: Exception | None = None
        self.done: list[Any] = []
        self.clock, self.database_clock = NOW, NOW
        self.packs: dict[str, list[tuple[int, str | None]]] = {}
        for name, does in {
            "claim_marked": self._claim,
            "renew_claim": self._renew,
            "forget_blobs": lambda _c, gone: self.done.append(("forget", *gone)),
            "put_back": lambda _c, busy, seconds: self.done.append(
                ("put back", *sorted(busy), seconds)
            ),
            "put_off_removal": lambda _c, failed: self.done.append(("put off", *sorted(failed))),
            "dropped_packs": lambda _c, most: [most, *self.packs][1:] if most == 50 else [],
            "forget_packed": self._forget_packed,
        }.items():
            patch_statement(monkeypatch, name, does)
        monkeypatch.setattr(upkeep, "database_time", self._database_time)
        database: Any = SimpleNamespace(connect=nullcontext, begin=nullcontext)
        blobs: Any = SimpleNamespace(
            removal_seconds=10.0,
            time=lambda: self.clock,
            used_since=self._used_since,
            remove_all=self._remove_all,
        )
        nothing: Any = None
        self.upkeep = Upkeep(database, nothing, blobs, StoreTerms(busy_seconds=60.0))
        self.upkeep.__dict__["identity"] = SimpleNamespace(check=self._check)

    def _database_time(self, _conn: object) -> datetime:
        return datetime.fromtimestamp(self.database_clock, UTC)

    def _check(self) -> None:
        if self.identity:
            raise self.identity

    def _claim(self, _conn: object, most: int, seconds: float, *, busy_too: bool) -> list[str]:
        self.done.append(("claim", seconds, busy_too))
        claimed, self.marked = self.marked[:most], self.marked[most:]
        return claimed

    def _renew(self, _conn: object, going: set[str], seconds: float) -> list[str]:
        self.done.append(("renew", seconds))
        return sorted(going)

    def _used_since(self, claimed: list[str], since: float) -> set[str]:
        self.done.append(("used since", since))
        return self.busy & set(claimed)

    def _remove_all(self, going: list[str]) -> dict[str, StoreFailed]:
        if self.away:
            raise self.away
        return {each: StoreFailed("immutable") for each in going if each in self.stuck}

    def _forget_packed(
        self, _c: object, pack: str, most: int, start: str
    ) -> tuple[int, str | None]:
        self.done.append((pack, most, start))
        return self.packs[pack].pop(0)


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    return Store(monkeypatch)


def test_what_is_used_is_put_back_and_what_cannot_go_put_off(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    store.marked, store.busy, store.stuck = ["a", "b", "c", "d"], {"b"}, {"c"}
    caplog.set_level(logging.WARNING)
    assert store.upkeep.collect_some() == CollectionResult(4, 2, 1)
    assert store.done == [
        *(("claim", 10.0, False), ("used since", NOW - 60), ("renew", 10.0)),
        *(("forget", "a", "d"), ("put back", "b", 60.0), ("put off", "c")),
    ]
    assert "1 contents were not removed, as c: immutable" in caplog.text


def test_without_a_failure_nothing_is_said(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    store.marked = ["a", "b"]
    caplog.set_level(logging.WARNING)
    assert store.upkeep.collect_some() == CollectionResult(2, 2, 0)
    assert caplog.text == ""


def test_if_space_is_needed_what_is_used_goes_too(store: Store) -> None:
    store.marked, store.busy = ["a", "b"], {"b"}
    assert store.upkeep.collect(busy_too=True) == 2
    assert store.done == [
        *(("claim", 10.0, True), ("renew", 10.0)),
        *(("forget", "a", "b"), ("put back", 60.0), ("put off",)),
    ]
    store.done.clear()
    store.marked = ["a", "b"]
    assert store.upkeep.collect() == 1
    assert store.done[:2] == [("claim", 10.0, False), ("used since", NOW - 60)]


def test_fifty_go_at_once_until_none_is_left(store: Store) -> None:
    store.marked = [f"{number:03}" for number in range(100)]
    assert store.upkeep.collect() == 100
    assert [each for each in store.done if each[0] == "claim"] == [("claim", 10.0, False)] * 3
    store.marked = [f"{number:03}" for number in range(51)]
    assert store.upkeep.collect_some() == CollectionResult(50, 50, 0)
    store.done.clear()
    assert store.upkeep.collect() == 1
    assert len([each for each in store.done if each[0] == "claim"]) == 1


def test_with_nothing_marked_nothing_is_done(store: Store) -> None:
    assert store.upkeep.collect_some() == CollectionResult(claimed=0, removed=0, failed=0)
    assert store.done == [("claim", 10.0, False)]
    assert CollectionResult(failed=1).removed == 0


@pytest.mark.parametrize("error", [OSError(5, "I/O"), Unavailable("away")], ids=repr)
def test_if_the_store_fails_all_are_put_off(store: Store, error: Exception) -> None:
    store.marked, store.busy, store.away = ["a", "b", "c"], {"b"}, error
    assert store.upkeep.collect_some() == CollectionResult(3, 0, 3)
    assert store.done[-3:] == [("forget",), ("put back", 60.0), ("put off", "a", "b", "c")]


def test_of_another_store_nothing_is_removed_and_of_one_that_cannot_say_it_is(store: Store) -> None:
    store.marked = ["a", "b"]
    store.identity = WrongStore("another")
    with pytest.raises(WrongStore):
        store.upkeep.collect()
    assert store.done == []
    store.identity = StoreFailed("the marker cannot be read")
    assert store.upkeep.collect() == 2


def test_rows_of_dropped_packs_go_five_thousand_at_once(store: Store) -> None:
    store.packs = {"one": [(5000, "x"), (7, None)], "other": [(1, None)]}
    assert store.upkeep.forget_dropped() == 5008
    assert store.done == [("one", 5000, ""), ("one", 5000, "x"), ("other", 5000, "")]
    store.packs = {}
    assert store.upkeep.forget_dropped() == 0


def test_files_are_as_old_as_the_earlier_clock_says(store: Store) -> None:
    for clock, other, known in ((NOW, NOW + 5, NOW), (NOW + 5, NOW, NOW), (NOW, NOW, NOW)):
        store.clock, store.database_clock = clock, other
        assert store.upkeep.known_time() == known


def test_a_clock_of_the_store_that_is_five_minutes_ahead_is_not_believed(store: Store) -> None:
    for ahead in (300.0, 0.0, -1000.0):
        store.clock = NOW + ahead
        store.upkeep.check_clocks()
    store.clock = NOW + 301
    with pytest.raises(StoreFailed, match="301 s ahead") as refused:
        store.upkeep.check_clocks()
    assert refused.value.retry_after_seconds == 300
