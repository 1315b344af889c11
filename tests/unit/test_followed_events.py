"""Reader that follows a staging: each event once, and the ends of the stream."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.staging import event_stream
from staging_api.staging.event_stream import EventStream
from staging_api.staging.repository import event_rows, reading


class Followed:
    """Staging that progresses each time a reader waits; its last step is final.

    Attributes:
        steps: number of events that each step adds.
    """

    def __init__(self, *steps: int, has_slot: bool = True) -> None:
        self.steps = steps
        self.now = 0
        self.has_slot = has_slot
        self.closed = False
        self.waits: list[float] = []
        self.is_late = False

    @contextmanager
    def waiter_slot(self) -> Iterator[bool]:
        yield self.has_slot

    def changed(self, _id: str, _version: int, seconds: float, _client: object) -> bool:
        self.waits.append(seconds)
        if self.is_late:
            self.closed = len(self.waits) == 3
            return False
        self.now += 1
        return True

    def find(self, _conn: object, staging_id: str) -> Any:
        is_final = self.now == len(self.steps) - 1
        return SimpleNamespace(id=staging_id, version=self.now, final=is_final)

    def events_of(self, _conn: object, _id: str, after: int, limit: int) -> list[Any]:
        last = sum(self.steps[: self.now + 1])
        return [SimpleNamespace(number=number) for number in range(after + 1, last + 1)][:limit]


def read(
    monkeypatch: pytest.MonkeyPatch, followed: Followed, after: int = 0, seconds: float = 100.0
) -> list[Any]:
    """Return what a reader gets: event numbers, versions of stagings in brackets, heartbeats."""
    monkeypatch.setattr(reading, "find", followed.find)
    monkeypatch.setattr(event_rows, "events_of", followed.events_of)
    monkeypatch.setattr(event_stream, "time", SimpleNamespace(monotonic=lambda: 1000.0))
    database: Any = SimpleNamespace(connect=nullcontext)
    watch: Any = followed
    found: Any = EventStream(database, watch).follow("s", after, seconds)
    return [
        None if each is None else getattr(each, "number", None) or [each.version] for each in found
    ]


def test_all_events_come_once_until_the_staging_is_final(monkeypatch: pytest.MonkeyPatch) -> None:
    followed = Followed(2, 1, 2)
    assert read(monkeypatch, followed) == [1, 2, 3, 4, 5]
    assert followed.waits == [15.0, 15.0]


def test_a_reader_goes_on_behind_its_last_event(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, Followed(2, 1), after=2) == [[0], 3]


def test_progress_without_an_event_is_told_by_the_staging(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read(monkeypatch, Followed(1, 0, 0, 1)) == [1, [1], [2], 2]
    # The last event announces the end.
    assert read(monkeypatch, Followed(1, 0)) == [1]


def test_a_page_that_is_full_is_followed_by_the_next_without_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_stream, "_EVENTS_AT_ONCE", 2)
    followed = Followed(4, 1)
    assert read(monkeypatch, followed) == [1, 2, 3, 4, [0], 5]
    assert len(followed.waits) == 1


def test_a_reader_without_a_slot_has_what_there_is_and_no_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    followed = Followed(2, 1, has_slot=False)
    assert read(monkeypatch, followed) == [1, 2]
    assert followed.waits == []


@pytest.mark.parametrize(("seconds", "waited"), [(4.0, 4.0), (60.0, 15.0)])
def test_signs_of_life_come_until_the_process_ends(
    monkeypatch: pytest.MonkeyPatch, seconds: float, waited: float
) -> None:
    followed = Followed(1, 1)
    followed.is_late = True
    assert read(monkeypatch, followed, seconds=seconds) == [1, None, None]
    assert followed.waits == [waited] * 3


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_reader_whose_time_is_over_does_not_wait(
    monkeypatch: pytest.MonkeyPatch, seconds: float
) -> None:
    followed = Followed(1, 1)
    assert read(monkeypatch, followed, seconds=seconds) == [1]
    assert followed.waits == []
