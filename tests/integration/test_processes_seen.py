"""``/processes``: running processes, as recorded in the database."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from sqlalchemy import text

from staging_api import about
from staging_api.db.engine import Database
from staging_api.db.migrate import wanted_revision
from staging_api.heartbeats import rows
from staging_api.heartbeats.model import ProcessDescription, ProcessLoad
from staging_api.heartbeats.service import Heartbeat
from staging_api.http.app import create_app
from staging_api.shutdown import Shutdown
from staging_api.staging.watch import Watch
from tests.parts import parts_of
from tests.stagings import Bench, bench

PROCESSES = "/api/v1.0/processes"
POD = ProcessDescription("pod-1:7:ABCD", "api", "1.0", "0123456789ab", "0029", "0.0.0.0:80", 64)
IDLE = ProcessLoad()


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def client(at: Bench) -> Iterator[testing.TestClient]:
    watch = Watch(at.database, threading.Semaphore(1), Shutdown())
    yield testing.TestClient(create_app(parts_of(at.service, watch)))
    watch.close()


def listed(client: testing.TestClient) -> list[Any]:
    answer = client.simulate_get(PROCESSES)
    assert answer.status_code == 200, answer.text
    items: list[Any] = answer.json["items"]
    return items


def beat(at: Bench, described: ProcessDescription = POD, load: ProcessLoad = IDLE) -> None:
    with at.database.connect() as conn:
        rows.beat(conn, described, load, threads=70, every_seconds=5)


def test_a_process_shows_what_it_is_and_what_it_does(at: Bench, client: testing.TestClient) -> None:
    beat(at)
    (idle,) = listed(client)
    nothing = {"busy": 0, "waiting": 0, "refused": 0, "draining": False}
    assert {name: idle[name] for name in nothing} == nothing
    beat(at, load=ProcessLoad(busy=3, waiting=2, draining=True, refused=5))
    (found,) = listed(client)
    assert (found["started_at"] < found["seen_at"], found["alive"]) == (True, True)
    shown = {name: value for name, value in found.items() if not name.endswith("_at")}
    assert shown == {
        "name": POD.name,
        "kind": "api",
        "alive": True,
        "version": "1.0",
        "build": "0123456789ab",
        "schema": "0029",
        "address": "0.0.0.0:80",
        "places": 64,
        "busy": 3,
        "waiting": 2,
        "threads": 70,
        "refused": 5,
        "draining": True,
    }


def test_the_database_is_shown_with_its_schema(client: testing.TestClient) -> None:
    found = client.simulate_get(PROCESSES).json["database"]
    assert found["schema"] == wanted_revision()
    assert found["version"].split(".")[0].isdigit()


def test_a_process_without_beats_is_not_alive_and_is_deleted_after_a_day(
    at: Bench, client: testing.TestClient
) -> None:
    beat(at)
    at.tamper("UPDATE service_processes SET seen_at = seen_at - interval '16 s'")
    assert [each["alive"] for each in listed(client)] == [False]
    at.tamper("UPDATE service_processes SET seen_at = seen_at - interval '1 day'")
    beat(at, ProcessDescription("pod-2:7:ABCD", "worker", "1.0", "b", "0029", None, 4))
    assert [(each["name"], each["alive"]) for each in listed(client)] == [("pod-2:7:ABCD", True)]


def test_a_heartbeat_writes_until_it_is_stopped_and_then_leaves(
    at: Bench, client: testing.TestClient
) -> None:
    beats = threading.Semaphore(0)

    def load() -> ProcessLoad:
        beats.release()
        return ProcessLoad(busy=1)

    heart = Heartbeat(at.database, every_seconds=0.01)
    heart.start(POD, load)
    for _ in range(3):
        assert beats.acquire(timeout=20)
    assert [each["busy"] for each in listed(client)] == [1]
    heart.stop()
    assert heart._thread is not None
    heart._thread.join()
    assert listed(client) == []


def test_a_heartbeat_that_was_not_started_is_stopped(at: Bench, client: testing.TestClient) -> None:
    beat(at)
    Heartbeat(at.database).stop()
    assert [each["name"] for each in listed(client)] == [POD.name]


def test_a_heartbeat_goes_on_after_the_database_was_away(
    at: Bench, client: testing.TestClient
) -> None:
    asked = threading.Semaphore(0)

    def load() -> ProcessLoad:
        asked.release()
        return ProcessLoad()

    heart = Heartbeat(at.database, every_seconds=0.01)
    with at.database.begin() as conn:
        conn.execute(text("ALTER TABLE service_processes RENAME TO away"))
    try:
        heart.start(POD, load)
        for _ in range(3):
            assert asked.acquire(timeout=20)
    finally:
        with at.database.begin() as conn:
            conn.execute(text("ALTER TABLE away RENAME TO service_processes"))
    for _ in range(3):
        assert asked.acquire(timeout=20)
    assert POD.name in {each["name"] for each in listed(client)}
    heart.stop()


def test_the_build_id_depends_on_the_code_alone() -> None:
    assert about.build() == about.build.__wrapped__()
    assert len(about.build()) == 12


def test_processes_come_page_by_page(at: Bench, client: testing.TestClient) -> None:
    names = ["pod-1:7:ABCD", "pod-2:7:ABCD", "pod-3:7:ABCD"]
    for name in reversed(names):
        beat(at, replace(POD, name=name))
    seen: list[str] = []
    after: dict[str, str] = {}
    for _ in names:
        page = client.simulate_get(PROCESSES, params={"limit": 1, **after}).json
        seen += [each["name"] for each in page["items"]]
        after = {"after": page["next"]}
    assert seen == names
    assert page["next"] is None
