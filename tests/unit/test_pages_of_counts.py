"""Pages of counts: whole intervals, newest first, down to the oldest that is kept."""

from collections.abc import Sequence
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.staging import counts
from staging_api.staging.counts import Counts, CountsPage
from staging_api.staging.repository import count_rows, reading
from staging_api.staging.repository.count_rows import CountedEvents, CountedState
from staging_api.vocabulary.reports import Interval

NOW = datetime(2026, 3, 4, 12, 34, 56, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hour: int, minute: int = 0) -> datetime:
    return NOW.replace(hour=hour, minute=minute, second=0)


def page(
    monkeypatch: pytest.MonkeyPatch,
    by: Interval,
    limit: int,
    before: datetime | None = None,
    rows: Sequence[CountedState] = (),
) -> CountsPage:
    asked: list[tuple[datetime, datetime, timedelta]] = []

    def between(_conn: object, *given: Any) -> CountedEvents:
        asked.append(given)
        return CountedEvents(rows, NOW)

    monkeypatch.setattr(counts, "database_time", lambda _conn: NOW)
    monkeypatch.setattr(count_rows, "counts_between", between)
    monkeypatch.setattr(count_rows, "unfinished", lambda _conn: {"running": 2})
    monkeypatch.setattr(reading, "queue", lambda _conn: {"pending": (3, 1.5), "staging": (1, 0.0)})
    database: Any = SimpleNamespace(connect=nullcontext)
    found = Counts(database).page(by, limit=limit, before=before)
    ((begin, end, length),) = asked
    began = [each.began_at for each in found.items]
    assert began == [end - (number + 1) * length for number in range(len(began))]
    assert not began or began[-1] == begin
    assert (found.counted_until, dict(found.unfinished)) == (NOW, {"running": 2})
    assert found.to_do == {"pending": 3, "staging": 1}
    return found


@pytest.mark.parametrize(
    ("before", "hours", "following"),
    [
        (None, [12, 11, 10], 10),
        (at(12), [11, 10, 9], 9),
        (at(11, 30), [11, 10, 9], 9),
        (at(11, 0) + timedelta(microseconds=1), [11, 10, 9], 9),
        (at(15), [12, 11, 10], 10),
    ],
)
def test_a_page_ends_with_the_interval_of_a_time(
    monkeypatch: pytest.MonkeyPatch, before: datetime | None, hours: list[int], following: int
) -> None:
    found = page(monkeypatch, "hour", 3, before)
    assert [each.began_at for each in found.items] == [at(hour) for hour in hours]
    assert found.following == at(following)


@pytest.mark.parametrize(
    ("by", "count", "oldest"),
    [
        ("minute", 2 * 24 * 60 + 1, datetime(2026, 3, 2, 12, 34, tzinfo=UTC)),
        ("hour", 35 * 24 + 1, datetime(2026, 1, 28, 12, tzinfo=UTC)),
        ("day", 36, datetime(2026, 1, 28, tzinfo=UTC)),
    ],
)
def test_the_last_page_ends_with_the_oldest_interval_that_is_kept(
    monkeypatch: pytest.MonkeyPatch, by: Interval, count: int, oldest: datetime
) -> None:
    found = page(monkeypatch, by, 10_000)
    assert (len(found.items), found.items[-1].began_at) == (count, oldest)
    assert found.following is None
    exact = page(monkeypatch, by, count)
    assert (len(exact.items), exact.following) == (count, None)
    nearly = page(monkeypatch, by, count - 1)
    assert nearly.following == nearly.items[-1].began_at
    older = page(monkeypatch, by, 5, oldest - timedelta(days=1))
    assert (older.items, older.following) == ([], None)


def test_what_happened_is_told_by_its_kind_and_state_in_its_interval(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        CountedState(at(12), "staging", "queued", 1, 100, 1000),
        CountedState(at(11), "artifact", "staged", 2, 20, 200),
        CountedState(at(11), "artifact", "failed", 3, 3, 30),
        CountedState(at(11), "staging", "staged", 4, 0, 0),
    ]
    newest, older, empty = page(monkeypatch, "hour", 3, rows=rows).items
    assert (newest.stagings, newest.artifacts) == ({"queued": 1}, {})
    assert (newest.fetched_bytes, newest.staged_bytes) == (0, 0)
    assert (older.stagings, older.artifacts) == ({"staged": 4}, {"staged": 2, "failed": 3})
    assert (older.fetched_bytes, older.staged_bytes) == (23, 230)
    assert (empty.stagings, empty.artifacts, empty.fetched_bytes, empty.staged_bytes) == (
        {},
        {},
        0,
        0,
    )
