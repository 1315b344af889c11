"""Counts of events: each event of their minutes once, and no event of other minutes."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, text

from staging_api.db.engine import Database
from staging_api.staging.repository import count_rows
from tests.rows import only_rows

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

# A whole hour that ended at least two hours ago, so that its minutes are complete and not live.
HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=3)


def add_events(conn: Connection, *rows: tuple[timedelta, str, str | None, str | None, int]) -> None:
    """Add events at these times of that hour: kind, old and new state, and bytes."""
    for number, (after, kind, before, state, size) in enumerate(rows, 1):
        conn.execute(
            text(
                "INSERT INTO staging_events (id, staging_id, number, at, kind, from_state,"
                " to_state, actor, detail, digest, previous_digest)"
                " SELECT left(ulid_floor(CAST(:at AS timestamptz)), 22)"
                " || lpad(CAST(:number AS text), 4, '0'), 's1', :number, :at, :kind, :before,"
                " :state, 'me', jsonb_build_object('bytes_done', :size, 'size_bytes', 10 * :size),"
                " repeat('1', 64), CASE WHEN :number > 1 THEN repeat('1', 64) END"
            ),
            {
                "at": HOUR + after,
                "number": number,
                "kind": kind,
                "before": before,
                "state": state,
                "size": size,
            },
        )


def minutes(conn: Connection) -> list[tuple[Any, ...]]:
    query = (
        "SELECT minute, kind, state, count, fetched_bytes, staged_bytes FROM staging_minutes"
        " ORDER BY minute, kind, state"
    )
    return [(row[0] - HOUR, *row[1:]) for row in conn.execute(text(query))]


EVENTS = (
    # Events in the first and in the last half second of a minute belong to it.
    (timedelta(seconds=0.5), "staging", None, "queued", 1),
    (timedelta(seconds=59.9), "staging", None, "queued", 2),
    (timedelta(seconds=60.1), "staging", "queued", "staged", 4),
    (timedelta(seconds=61), "artifact", "staging", "staged", 8),
    (timedelta(seconds=62), "artifact", "staging", "staged", 16),
    (timedelta(seconds=63), "artifact", "staging", "failed", 32),
    (timedelta(seconds=64), "artifact", "failed", "failed", 64),
    (timedelta(seconds=65), "cancel_requested", None, "queued", 128),
)
COUNTED = [
    (timedelta(0), "staging", "queued", 2, 0, 0),
    (MINUTE, "artifact", "failed", 1, 0, 0),
    (MINUTE, "artifact", "staged", 2, 24, 240),
    (MINUTE, "staging", "staged", 1, 0, 0),
]


@pytest.fixture
def conn(database: Database) -> Iterator[Connection]:
    with only_rows(database, "SELECT 1") as made:
        yield made


def add_minutes(conn: Connection, *rows: tuple[timedelta, int]) -> None:
    """Add counts of the minutes that begin at these times of that hour."""
    for after, count in rows:
        conn.execute(
            text(
                "INSERT INTO staging_minutes VALUES"
                " (:minute, 'artifact', 'staged', :count, 10 * :count, 100 * :count)"
            ),
            {"minute": HOUR + after, "count": count},
        )


def counts(*rows: tuple[int, int]) -> list[tuple[Any, ...]]:
    """Return the result of `minutes` on the counts of `add_minutes`; times in minutes."""
    return [
        (after * MINUTE, "artifact", "staged", count, 10 * count, 100 * count)
        for after, count in rows
    ]


def count_until(conn: Connection, moment: datetime) -> None:
    conn.execute(text("DELETE FROM staging_counted"))
    given = {"until": moment}
    conn.execute(text("INSERT INTO staging_counted (counted_until) VALUES (:until)"), given)


def counted_until(conn: Connection) -> datetime:
    found = conn.execute(text("SELECT counted_until FROM staging_counted")).scalar_one()
    assert isinstance(found, datetime)
    return found


def ago(moment: datetime) -> timedelta:
    """Return the time since then; a moment later it is less than a minute too short."""
    return datetime.now(UTC) - moment


def test_minutes_have_each_event_that_leads_to_another_state_once(conn: Connection) -> None:
    add_events(conn, *EVENTS)
    for _ in range(2):
        assert not count_rows.count_minutes(conn, 30 * DAY, 2 * DAY)
        assert minutes(conn) == COUNTED
    until = counted_until(conn)
    assert (until.second, until.microsecond) == (0, 0)
    assert timedelta(0) <= ago(until) < 3 * MINUTE


def test_events_are_counted_from_where_the_last_count_ended(conn: Connection) -> None:
    add_events(conn, *EVENTS)
    count_until(conn, HOUR + MINUTE)
    assert not count_rows.count_minutes(conn, 30 * DAY, 2 * DAY)
    assert minutes(conn) == COUNTED[1:]


def test_half_a_day_is_counted_at_once(conn: Connection) -> None:
    add_events(conn, *EVENTS)
    count_until(conn, HOUR + MINUTE - DAY / 2)
    assert count_rows.count_minutes(conn, 30 * DAY, 2 * DAY)
    assert minutes(conn) == COUNTED[:1]
    assert counted_until(conn) == HOUR + MINUTE
    assert not count_rows.count_minutes(conn, 30 * DAY, 2 * DAY)
    assert minutes(conn) == COUNTED


def test_events_that_are_older_than_counts_are_kept_are_not_counted(conn: Connection) -> None:
    add_events(conn, *EVENTS)
    assert not count_rows.count_minutes(conn, ago(HOUR + MINUTE), 2 * DAY)
    assert minutes(conn) == COUNTED[1:]


def test_counts_that_are_older_than_they_are_kept_are_forgotten(conn: Connection) -> None:
    count_until(conn, HOUR + 30 * MINUTE)
    add_minutes(conn, (-MINUTE, 1), (timedelta(0), 2), (MINUTE, 4))
    count_rows.count_minutes(conn, ago(HOUR), 2 * DAY)
    assert minutes(conn) == counts((0, 2), (1, 4))


def test_old_minutes_become_their_hour(conn: Connection) -> None:
    count_until(conn, HOUR + 90 * MINUTE)
    rows = {-59: 1, -1: 2, 0: 4, 1: 8, 59: 16, 60: 32, 61: 64, 62: 128}
    add_minutes(conn, *((after * MINUTE, count) for after, count in rows.items()))
    count_rows.count_minutes(conn, 30 * DAY, ago(HOUR + 62 * MINUTE))
    assert minutes(conn) == counts((-60, 3), (0, 28), (60, 96), (62, 128))


def test_nothing_is_counted_while_another_counts(conn: Connection, database: Database) -> None:
    add_events(conn, *EVENTS)
    with database.begin() as other:
        count_rows.count_minutes(other, 30 * DAY, 2 * DAY)
        assert not count_rows.count_minutes(conn, 30 * DAY, 2 * DAY)
    assert minutes(conn) == []


def between(conn: Connection, begin: timedelta, end: timedelta, length: timedelta) -> list[Any]:
    found = count_rows.counts_between(conn, HOUR + begin, HOUR + end, length).rows
    return sorted(
        (row.began_at - HOUR, row.kind, row.state, row.count, row.fetched_bytes, row.staged_bytes)
        for row in found
    )


def test_an_interval_has_the_minutes_that_begin_in_it(conn: Connection) -> None:
    count_until(conn, HOUR + 90 * MINUTE)
    rows = {-1: 1, 0: 2, 1: 4, 59: 8, 60: 16, 120: 32}
    add_minutes(conn, *((after * MINUTE, count) for after, count in rows.items()))
    hour, begin = 60 * MINUTE, timedelta(0)
    assert between(conn, begin, 2 * hour, hour) == counts((0, 14), (60, 16))
    assert between(conn, begin, 2 * MINUTE, MINUTE) == counts((0, 2), (1, 4))


@pytest.mark.parametrize(("counted", "is_live"), [(12, True), (15.5, False)])
def test_the_newest_events_are_counted_by_their_reader_if_few_minutes_are_missing(
    conn: Connection, counted: float, is_live: bool
) -> None:
    now = datetime.now(UTC)
    count_until(conn, now - counted * MINUTE)
    events = [(now - 16 * MINUTE, 1), (now - 14 * MINUTE, 2), (now - 5 * MINUTE, 4)]
    add_events(conn, *((at - HOUR, "artifact", "staging", "staged", size) for at, size in events))
    add_minutes(conn, (timedelta(0), 16), (now - 2 * MINUTE - HOUR, 32))
    found = count_rows.counts_between(conn, HOUR, now + MINUTE, DAY)
    sums = [sum(row.count for row in found.rows), sum(row.staged_bytes for row in found.rows)]
    # Minutes that are counted contribute their rows, other minutes their events.
    assert sums == ([17, 1640] if is_live else [48, 4800])
    assert found.counted_until is not None
    assert (found.counted_until >= now) is is_live


def test_of_a_record_that_is_not_counted_the_newest_events_are_shown(conn: Connection) -> None:
    now = datetime.now(UTC)
    times = [(now - each * MINUTE - HOUR) for each in (16, 10)]
    add_events(conn, *((at, "artifact", "staging", "staged", 1) for at in times))
    found = count_rows.counts_between(conn, HOUR, now + MINUTE, DAY)
    assert (sum(row.count for row in found.rows), found.counted_until) == (1, None)
    later = count_rows.counts_between(conn, now - 9 * MINUTE, now + MINUTE, DAY)
    assert later.rows == []
