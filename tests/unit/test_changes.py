"""Polling for changes: its frequency, and renewed checks of callers' permissions."""

import threading
from functools import partial
from typing import Any, cast

import pytest

from staging_api.changes import service
from staging_api.changes.model import TABLES
from staging_api.changes.service import LOOK_SECONDS, ChangeFeed, pause_seconds
from staging_api.db.engine import Database


def test_a_quick_database_is_looked_at_once_a_second() -> None:
    assert pause_seconds(0) == pause_seconds(0.25) == LOOK_SECONDS == 1


@pytest.mark.parametrize("looked", [0.3, 1, 20])
def test_looks_take_a_fifth_of_the_time_of_a_slow_one(looked: float) -> None:
    assert looked / (looked + pause_seconds(looked)) == pytest.approx(1 / 5)


@pytest.mark.parametrize(("every_seconds", "are_asked"), [(0.0, True), (3600.0, False)])
def test_whether_callers_may_still_follow_is_asked_when_it_is_due(
    monkeypatch: pytest.MonkeyPatch, every_seconds: float, are_asked: bool
) -> None:
    looks, opened, asked = threading.Semaphore(0), threading.Event(), set[str]()

    def allowed(caller: str) -> bool:
        asked.add(caller)
        return True

    def look(_feed: ChangeFeed) -> dict[Any, object]:
        assert opened.wait(20)
        looks.release()
        return dict.fromkeys(TABLES)

    monkeypatch.setattr(service, "_ALLOWED_SECONDS", every_seconds)
    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(ChangeFeed, "_look", look)
    feed = ChangeFeed(cast("Database", None))
    try:
        for caller in ("alice", "bob"):
            feed.open(caller, ["work"], partial(allowed, caller))
        opened.set()
        for _ in range(4):
            assert looks.acquire(timeout=20)
    finally:
        feed.close()
    assert asked == ({"alice", "bob"} if are_asked else set())


def test_streams_are_told_of_what_changed_between_two_looks_and_of_nothing_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first: dict[Any, object] = dict.fromkeys(TABLES, 1)
    work, *others = TABLES
    looks = iter([first, first, {**first, work: 2}, {}, first])
    told: list[set[str]] = []
    looked_at_all = threading.Event()

    def look(_feed: ChangeFeed) -> dict[Any, object]:
        try:
            return next(looks)
        except StopIteration:
            looked_at_all.set()
            return first

    monkeypatch.setattr(service, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(ChangeFeed, "_look", look)
    feed = ChangeFeed(cast("Database", None))
    monkeypatch.setattr(feed.streams, "tell", lambda topics: told.append(set(topics)))
    try:
        feed.open("alice", ["work"], lambda: True)
        assert looked_at_all.wait(20)
    finally:
        feed.close()
    # A look at an unavailable database finds nothing; the look that is compared with it neither.
    assert told == [{work}, {work, *others}, {work, *others}]
