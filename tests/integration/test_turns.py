"""Order of a worker's jobs: callers in turn, foreground before background."""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from falcon.testing import TestClient

from staging_api.db.engine import Database
from staging_api.http.app import create_app
from staging_api.locks.hold import RequestOrigin
from staging_api.shutdown import Shutdown
from staging_api.sources.model import Source
from staging_api.staging.repository import staging_rows
from staging_api.staging.resuming import resume
from staging_api.staging.watch import Watch
from staging_api.staging.worker import Worker
from tests.factories import ORIGIN
from tests.parts import parts_of
from tests.rows import execute
from tests.service import eventually
from tests.stagings import Bench, bench

BUSY, QUIET = replace(ORIGIN, caller="busy"), replace(ORIGIN, caller="quiet")


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


class Gate:
    """Sources whose first look waits until the test releases it; records their order."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.open = threading.Semaphore(0)

    def __call__(self, source: Source) -> Source:
        self.begun.append(source.url.rpartition("/")[2])
        assert self.open.acquire(timeout=60)
        return source


def queued(at: Bench, origin: RequestOrigin, *builds: str, name: str = "payload") -> None:
    for build in builds:
        at.service.queue(at.service.check_request(at.build(build), (name,)), origin)


def order(at: Bench, builds: int) -> list[str]:
    """Return the builds in the order in which a worker with one job begins them."""
    gate = Gate()
    opened = at.service.open_archive
    service = replace(at.service, open_archive=lambda url: gate(opened(url)))
    worker = Worker(service, jobs=1)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        for number in range(builds):
            eventually(lambda n=number: len(gate.begun) > n, "nothing more was begun")  # type: ignore[misc]
            gate.open.release()
    finally:
        worker.stop()
        gate.open.release(100)
        thread.join()
    return gate.begun


def test_callers_take_turns_however_many_stagings_one_has(at):
    queued(at, BUSY, *(f"B-{number}" for number in range(6)))
    queued(at, QUIET, "Q-0", "Q-1")
    queued(at, ORIGIN, "T-0")
    assert order(at, 9) == ["B-0", "Q-0", "T-0", "B-1", "Q-1", "B-2", "B-3", "B-4", "B-5"]


def test_callers_without_a_name_take_turns_by_their_address(at):
    """Also together with a named caller, and with a caller whose pod has the previous version."""
    here, there = (replace(ORIGIN, caller="anonymous", turn_of=f"anonymous at {n}") for n in "12")
    queued(at, here, *(f"H-{number}" for number in range(4)))
    queued(at, there, "T-0", "T-1")
    queued(at, QUIET, "Q-0")
    queued(at, replace(ORIGIN, caller="anonymous"), "O-0")
    assert order(at, 8) == ["H-0", "T-0", "Q-0", "O-0", "H-1", "T-1", "H-2", "H-3"]


@pytest.mark.parametrize("peer", ["10.0.0.1", "2001:db8::1"])
def test_a_request_without_a_credential_takes_the_turn_of_its_address(at, peer: str):
    body = {"archive_url": at.build("A-1"), "artifacts": ["build"]}
    watch = Watch(at.database, threading.Semaphore(1), Shutdown())
    client = TestClient(create_app(parts_of(at.service, watch)))
    answer = client.simulate_post(
        "/api/v1.0/stagings", json=body, headers={"Prefer": "respond-async"}, remote_addr=peer
    )
    watch.close()
    assert answer.status_code == 202, answer.text
    share = {"10.0.0.1": "10.0.0.1", "2001:db8::1": "2001:db8::/64"}[peer]
    assert at.rows("SELECT caller, turn_of FROM stagings") == [
        ("anonymous", f"anonymous at {share}")
    ]


def test_foreground_comes_before_background_of_any_caller(at):
    queued(at, BUSY, "B-0", "B-1", name="build")
    execute(
        at.database,
        "UPDATE staged_artifacts SET state = 'missing' WHERE name IN ('payload', 'suites')",
    )
    with at.database.begin() as conn:
        for (url,) in at.rows("SELECT DISTINCT archive_url FROM stagings"):
            staging_rows.settle(conn, url)
    queued(at, BUSY, "B-2")
    queued(at, QUIET, "Q-0")
    assert order(at, 4) == ["B-2", "Q-0", "B-0", "B-1"]


def test_a_caller_has_no_more_jobs_than_its_share(at):
    gate = Gate()
    opened = at.service.open_archive
    service = replace(at.service, open_archive=lambda url: gate(opened(url)))
    queued(at, BUSY, *(f"B-{number}" for number in range(4)))
    worker = Worker(service, jobs=3, jobs_per_caller=2)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        eventually(lambda: len(gate.begun) == 2, "two were not begun")
        queued(at, QUIET, "Q-0")
        eventually(lambda: len(gate.begun) == 3, "the free job was not taken")
        assert (sorted(gate.begun[:2]), gate.begun[2:]) == (["B-0", "B-1"], ["Q-0"])
    finally:
        worker.stop()
        gate.open.release(100)
        thread.join()


def test_jobs_are_counted_while_another_one_begins(at):
    """A heartbeat counts the jobs in a thread of its own."""
    counting, begun = threading.Event(), threading.Event()
    counted: list[int] = []

    class Slow(Future[None]):
        def done(self) -> bool:
            counting.set()
            return not begun.wait(timeout=60)

    worker = Worker(at.service, jobs=2)
    heartbeat = threading.Thread(target=lambda: counted.append(worker.busy))

    class Pool:
        def submit(self, _resume: object, _turn: object) -> Future[None]:
            if worker._running:
                heartbeat.start()
                assert counting.wait(timeout=60)
            return Slow()

    queued(at, BUSY, "B-0", "B-1")
    worker._begin_due(cast(ThreadPoolExecutor, Pool()))
    begun.set()
    heartbeat.join()
    assert counted == [1]
    assert worker.busy == 2


def test_a_background_job_yields_between_two_artifacts(at):
    staging = at.service.queue(at.service.check_request(at.build(), ("build",)), BUSY)
    resume(at.service, at.service.find(staging.id), BUSY, postpone=lambda: True)
    left = at.service.find(staging.id)
    assert left.state == "foreground_staged"
    assert {a.name: a.state for a in left.artifacts}["notes"] == "pending"
    resume(at.service, left, BUSY)
    assert at.service.find(staging.id).state == "staged"
