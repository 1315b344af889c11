"""Server-sent events of a staging, from the app on a loopback server."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import urllib3
from sqlalchemy import text

from staging_api.client import StagingClient
from staging_api.db.engine import Database
from staging_api.errors import DeadlineOver, NotFound
from staging_api.staging.repository import artifact_rows, staging_rows
from staging_api.staging.resuming import resume
from tests.factories import ORIGIN
from tests.serving import serving
from tests.stagings import Bench, bench

UNKNOWN = "01JD0000000000000000000001"


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


def stream(url: str, staging_id: str, **headers: str) -> urllib3.BaseHTTPResponse:
    path = f"{url}/api/v1.0/stagings/{staging_id}"
    path += "" if "/" in staging_id else "/events"
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return urllib3.request("GET", path, headers=named, preload_content=False, timeout=20)


def test_a_reader_gets_every_change_until_the_staging_is_final(at):
    url = at.build()
    staging = at.service.queue(at.service.check_request(url, ()), ORIGIN)
    with serving(at) as service, StagingClient(service) as client:
        events = client.events(staging.id)
        assert next(events).to_state == "queued"
        resume(at.service, staging, ORIGIN)
        rest = list(events)
    assert [event.number for event in rest] == list(range(2, 14))
    assert (rest[-1].kind, rest[-1].to_state, rest[-1].actor) == ("staging", "staged", "tester")


def test_a_reader_that_reconnects_gets_only_later_events(at):
    staging = at.stage(at.build())
    with serving(at) as service, StagingClient(service) as client:
        assert [event.number for event in client.events(staging.id, after=11)] == [12, 13]


def test_nothing_can_follow_the_last_event_of_a_final_staging(at):
    staging = at.stage(at.build())
    with serving(at) as service:
        for last in ("13", "9" * 18):
            assert stream(service, staging.id, Last_Event_ID=last).status == 204
            assert stream(service, f"{staging.id}/events?after={last}").status == 204
        before = stream(service, staging.id, Last_Event_ID="12").read()
    assert before.count(b"event: change") == 1


def test_progress_comes_between_the_changes(at):
    url = at.build()
    staging = at.service.queue(at.service.check_request(url, ()), ORIGIN)
    with serving(at) as service:
        answer = stream(service, staging.id, Last_Event_ID=str(staging.events_count))
        [artifact, *_] = staging.artifacts
        with at.database.begin() as conn:
            artifact_rows.note_progress(conn, artifact.id, 5, 10, 2.5)
            staging_rows.touch(conn, url)
        seen = b""
        while b'"bytes_done":5' not in seen:
            seen += answer.read1(4096)
        answer.close()
    last = [line for line in seen.split(b"\n") if line.startswith(b"data: ")][-1]
    sent = json.loads(last.removeprefix(b"data: "))
    assert sent["progress"]["bytes_per_second"] == 2.5
    assert sent["artifacts"][0]["bytes_total"] == 10


def test_a_stream_without_a_waiter_slot_sends_known_events_and_ends(at):
    staging = at.service.queue(at.service.check_request(at.build(), ()), ORIGIN)
    with serving(at, waiter_slots=0) as service:
        answer = stream(service, staging.id)
        sent = answer.read().decode()
    assert (answer.headers["X-Accel-Buffering"], answer.headers["Cache-Control"]) == (
        ("no", "no-store")
    )
    assert sent.startswith("retry: 2000\n\n")
    assert sent.count("event: change") == staging.events_count == 4


def test_a_stream_releases_its_waiter_slot_when_its_reader_is_gone(at, monkeypatch):
    monkeypatch.setattr("staging_api.staging.event_stream.KEEP_ALIVE_SECONDS", 0.05)
    staging = at.service.queue(at.service.check_request(at.build(), ()), ORIGIN)
    with serving(at, waiter_slots=1) as service:
        first = stream(service, staging.id)
        assert first.read1(10)
        first.close()
        # Without a free slot the next reader would be refused at once; with one it waits for more.
        while True:
            with stream(service, staging.id, Last_Event_ID="4") as second:
                sent = b""
                while chunk := second.read1(4096):
                    sent += chunk
                    if b": still here" in sent:
                        return


def test_a_stream_ends_after_the_longest_wait(at):
    staging = at.service.queue(at.service.check_request(at.build(), ()), ORIGIN)
    with serving(at, wait_cap_seconds=0.2) as service, StagingClient(service) as client:
        assert b"event: progress" in stream(service, staging.id, Last_Event_ID="4").read()
        with pytest.raises(DeadlineOver):
            list(client.events(staging.id, timeout=1.0))


def test_a_stream_of_an_unknown_staging_is_not_found(at):
    with serving(at) as service, StagingClient(service) as client, pytest.raises(NotFound):
        next(client.events(UNKNOWN))


@pytest.mark.parametrize("last", ["-1", "x", "\xb2", "9" * 19])
def test_an_event_number_must_be_a_number(at, last):
    staging = at.stage(at.build())
    with serving(at) as service:
        answer = stream(service, staging.id, Last_Event_ID=last)
    assert (answer.status, answer.json()["code"]) == (400, "invalid_request")


def test_a_change_of_an_archive_wakes_all_followers(at):
    url = at.build()
    staging = at.service.queue(at.service.check_request(url, ()), ORIGIN)
    with serving(at) as service, StagingClient(service) as client:
        readers = [client.events(staging.id, after=4) for _ in range(3)]
        got: list[str | None] = []
        threads = [
            threading.Thread(target=lambda r=reader: got.append(next(r).kind)) for reader in readers
        ]
        for thread in threads:
            thread.start()
        at.service.cancel(staging.id, ORIGIN)
        for thread in threads:
            thread.join()
    assert got == ["cancel_requested"] * 3
    with at.database.connect() as conn:
        assert conn.execute(text("SELECT state FROM stagings")).scalar() == "cancelled"
