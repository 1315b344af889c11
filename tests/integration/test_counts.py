"""``/counts``: numbers of stagings and artifacts per state entered, from the record of events."""

import threading
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from sqlalchemy import text

from staging_api.db.engine import Database
from staging_api.errors import ArchiveCorrupt
from staging_api.http.app import create_app
from staging_api.shutdown import Shutdown
from staging_api.staging.counts import Counts
from staging_api.staging.watch import Watch
from tests.factories import ORIGIN
from tests.parts import parts_of
from tests.stagings import Bench, bench

COUNTS = "/api/v1.0/counts"


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def client(at: Bench) -> Iterator[testing.TestClient]:
    watch = Watch(at.database, threading.Semaphore(1), Shutdown())
    yield testing.TestClient(create_app(parts_of(at.service, watch)))
    watch.close()


def asked(client: testing.TestClient, **query: str) -> Any:
    answer = client.simulate_get(COUNTS, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json


def totals(items: list[Any]) -> tuple[Counter[str], Counter[str], int, int]:
    stagings: Counter[str] = Counter()
    artifacts: Counter[str] = Counter()
    for item in items:
        stagings.update(item["stagings"])
        artifacts.update(item["artifacts"])
    fetched = sum(item["fetched_bytes"] for item in items)
    return stagings, artifacts, fetched, sum(item["staged_bytes"] for item in items)


def move_events(at: Bench, ago: str) -> None:
    """Move all events this far into the past; the digest chains do not matter here."""
    at.tamper(
        "UPDATE staging_events SET at = at - CAST(:ago AS interval),"
        " id = left(ulid_floor(at - CAST(:ago AS interval)), 10) || right(id, 16)",
        ago=ago,
    )


def used(at: Bench) -> None:
    """Stage two builds, the second with the payload of the first, and fail to stage a third."""
    at.stage(at.build("R1", payload_bin=b"p" * 1000), "payload")
    at.stage(at.build("R2", payload_bin=b"p" * 1000), "payload")
    with pytest.raises(ArchiveCorrupt):
        at.stage(at.build("R3", suites_tgz=b"no tar"), "suites")


@pytest.mark.parametrize("ago", ["0", "3 h"], ids=["live", "counted"])
def test_counts_are_the_same_by_any_interval_counted_yet_or_not(
    at: Bench, client: testing.TestClient, ago: str
) -> None:
    used(at)
    # Bytes are counted for staged artifacts only.
    at.tamper(
        """UPDATE staging_events SET detail = detail || '{"bytes_done": 7, "size_bytes": 7}'"""
        " WHERE kind = 'staging' OR to_state <> 'staged'"
    )
    move_events(at, ago)
    while Counts(at.database).count():
        pass
    [(minutes,)] = at.rows("SELECT count(*) FROM staging_minutes")
    assert minutes > 0 or ago == "0"
    wanted = totals(asked(client, by="minute", limit="240")["items"])
    assert wanted[0] == {"queued": 3, "running": 3, "staged": 2, "failed": 1}
    assert wanted[1]["staged"] == 2
    [(fetched,)] = at.rows("SELECT sum(bytes_done) FROM staged_artifacts WHERE state = 'staged'")
    assert wanted[2:] == (fetched, 2000)
    for by in ("hour", "day"):
        assert totals(asked(client, by=by)["items"]) == wanted


def test_minutes_become_hours_after_two_days_and_nothing_is_lost(
    at: Bench, client: testing.TestClient
) -> None:
    used(at)
    before = totals(asked(client)["items"])
    move_events(at, "70 h")
    for _ in range(3):
        while Counts(at.database).count():
            pass
    rows = at.rows("SELECT DISTINCT extract(minute FROM minute) FROM staging_minutes")
    assert rows == [(0,)]
    assert totals(asked(client, limit="100")["items"]) == before
    assert len(asked(client, by="minute", limit="1000")["items"]) == 1000


def test_each_event_is_counted_once_however_often_it_is_counted(
    at: Bench, client: testing.TestClient
) -> None:
    used(at)
    move_events(at, "2 h")
    for _ in range(3):
        while Counts(at.database).count():
            pass
    before = totals(asked(client)["items"])
    at.tamper("UPDATE staging_counted SET counted_until = counted_until - interval '5 h'")
    while Counts(at.database).count():
        pass
    assert totals(asked(client)["items"]) == before


def test_intervals_are_consecutive_newest_first_and_paged(client: testing.TestClient) -> None:
    page = asked(client, by="hour", limit="3")
    starts = [datetime.fromisoformat(item["began_at"]) for item in page["items"]]
    hour = timedelta(hours=1)
    now = datetime.now(UTC)
    assert starts == [starts[0], starts[0] - hour, starts[0] - 2 * hour]
    assert starts[0] <= now < starts[0] + 2 * hour
    following = asked(client, by="hour", limit="3", after=page["next"])
    assert datetime.fromisoformat(following["items"][0]["began_at"]) == starts[-1] - hour
    everything = asked(client, by="day", limit="1000")
    assert (len(everything["items"]), everything["next"]) == (36, None)
    nothing = asked(client, by="hour", after="1967-10-10T08:42:02-02:06")
    assert (nothing["items"], nothing["next"]) == ([], None)


def test_a_record_without_events_is_counted(at: Bench) -> None:
    assert Counts(at.database).count() is False


def test_an_event_that_is_late_is_not_missed(at: Bench, client: testing.TestClient) -> None:
    """A minute is counted only when no open transaction can add an event to it."""
    used(at)
    move_events(at, "1 h")
    while Counts(at.database).count():
        pass
    until = asked(client)["counted_until"]
    with at.database.begin() as slow:
        slow.execute(text("UPDATE stagings SET version = version + 1"))
        [(began,)] = at.rows(
            "SELECT min(xact_start) FROM pg_stat_activity WHERE state = 'idle in transaction'"
        )
        Counts(at.database).count()
        [(counted,)] = at.rows("SELECT counted_until FROM staging_counted")
        assert counted <= began
    assert until is not None


def test_unfinished_work_is_counted_by_its_current_state(
    at: Bench, client: testing.TestClient
) -> None:
    assert asked(client)["unfinished"] == {}
    at.service.queue(at.service.check_request(at.build(), ()), ORIGIN)
    found = asked(client)
    assert (found["unfinished"], found["to_do"]) == ({"queued": 1}, {"pending": 3})


def test_old_counts_are_forgotten(at: Bench, client: testing.TestClient) -> None:
    used(at)
    move_events(at, "2 h")
    while Counts(at.database).count():
        pass
    at.tamper("UPDATE staging_minutes SET minute = minute - interval '36 d'")
    move_events(at, "1 min")
    at.tamper("UPDATE staging_counted SET counted_until = counted_until - interval '3 min'")
    Counts(at.database).count()
    [(oldest,)] = at.rows("SELECT min(minute) FROM staging_minutes")
    assert oldest is None or oldest > datetime.now(UTC) - timedelta(days=36)
