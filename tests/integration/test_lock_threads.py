"""Threads of the lock that cannot be started, or that have died."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from falcon.testing import TestClient

from staging_api.db.engine import Database, open_database
from staging_api.db.timeouts import Timeouts
from staging_api.errors import Unavailable
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE
from staging_api.processes.application import api_of
from staging_api.processes.bootstrap import build
from staging_api.processes.services import Services
from staging_api.processes.slow_clients import SlowClients
from staging_api.settings import Settings
from staging_api.staging.resuming import resume
from tests.factories import ORIGIN, locks_of
from tests.leases import acquired, grant_of, released, rows
from tests.service import eventually
from tests.stagings import bench

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")


@contextmanager
def no_room_for(*names: str) -> Iterator[None]:
    """Make threads with these names fail to start; without names, all threads."""
    start = threading.Thread.start

    def start_perhaps(thread: threading.Thread) -> None:
        if not names or thread.name in names:
            raise RuntimeError("can't start new thread")
        start(thread)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_perhaps)
        yield


@pytest.mark.parametrize("names", [(), ("lease-keeper",), ("lease-renewal",)], ids=str)
def test_no_lock_is_granted_that_nothing_would_keep_alive(
    names: tuple[str, ...], database: Database, database_url: str
) -> None:
    with locks_of(database, database_url, lease_seconds=1.2) as locks:
        with no_room_for(*names):
            with pytest.raises(Unavailable), hold(locks, ARCHIVE, "s", ORIGIN):
                pytest.fail("ran though nothing keeps the lease alive")
            with pytest.raises(Unavailable):
                locks.check()
        assert rows(database, "SELECT * FROM lock_scopes") == []
        lost = threading.Event()
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            held.on_lost(lost.set)
            assert not lost.wait(2.5)
        locks.check()
    assert grant_of(database, held.lease).outcome == "released"


@pytest.mark.parametrize("name", ["_run", "_run_renewals"])
def test_a_thread_that_was_killed_under_a_hold_is_started_again_by_the_next(
    name: str, database: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with locks_of(database, database_url, lease_seconds=1.5) as locks:
        work = "_start_renewal" if name == "_run" else "_renew"
        whole = getattr(locks.keeper, work)
        killed = threading.Event()

        def kill_once(given: object) -> None:
            if killed.is_set():
                whole(given)
            else:
                killed.set()
                raise SystemExit

        monkeypatch.setattr(locks.keeper, work, kill_once)
        with hold(locks, ARCHIVE, "s", ORIGIN) as held:
            assert killed.wait(10)
            eventually(lambda: missed(locks.check), "it is not missed")
            first = held.renew_at
            with hold(locks, ARCHIVE, "other", ORIGIN):
                locks.check()
                eventually(lambda: held.renew_at > first, "it is not renewed")
    assert grant_of(database, held.lease).outcome == "released"


def missed(check) -> bool:
    try:
        check()
    except Unavailable:
        return True
    return False


def test_a_waiter_is_served_without_a_listener(database: Database, database_url: str) -> None:
    lease = acquired(database, scope="s")
    with locks_of(database, database_url) as locks:
        locks.keeper.start()

        def wait() -> None:
            with hold(locks, ARCHIVE, "s", ORIGIN, wait_seconds=30):
                pass

        waiter = threading.Thread(target=wait, name="waiter")
        with no_room_for("lock-listener"):
            waiter.start()
            eventually(lambda: bool(rows(database, "SELECT 1 FROM lock_waiters")), "no queue")
            assert missed(locks.queue.check)
            released(database, lease)
            waiter.join()
        with hold(locks, ARCHIVE, "s", ORIGIN):
            again = threading.Thread(target=wait)
            again.start()
            eventually(lambda: not missed(locks.queue.check), "no listener")
        again.join()
    assert rows(database, "SELECT DISTINCT outcome FROM api_locks") == [("released",)]


def test_a_statement_goes_unwatched_for_a_moment_rather_than_unsent(database_url: str) -> None:
    limits = Timeouts(statement_seconds=5, idle_seconds=5, hung_seconds=9)
    with closing(open_database(database_url, 1, limits)) as limited:
        with no_room_for("watchdog"):
            assert rows(limited, "SELECT 1") == [(1,)]
            assert missed(limited.check)
        assert rows(limited, "SELECT 2") == [(2,)]
        limited.check()


@pytest.fixture
def services(database: Database, database_url: str, tmp_path) -> Iterator[Services]:
    del database  # empty
    with closing(build(Settings(database_url=database_url, home=tmp_path))) as built:
        yield built


def test_a_process_without_its_threads_is_not_live(services: Services) -> None:
    client = TestClient(api_of(services))
    assert client.simulate_get("/livez").status_code == 200
    with no_room_for("lease-renewal"):
        with pytest.raises(Unavailable):
            services.locks.keeper.start()
        answer = client.simulate_get("/livez")
        assert (answer.status_code, "lease-renewal" in answer.text) == (503, True)
    services.locks.keeper.start()
    assert client.simulate_get("/livez").status_code == 200


def test_slow_clients_are_shut_though_the_thread_could_not_be_started_at_first() -> None:
    slow = SlowClients(0.1, 1 << 20)
    ours, theirs = socket.socketpair()
    first, first_end = socket.socketpair()
    with ours, theirs, first, first_end:
        with no_room_for("slow-clients"):
            with pytest.raises(Unavailable):
                slow.start()
            slow.begin(first)
            assert missed(slow.check)
        slow.begin(ours)
        for end in (theirs, first_end):
            end.settimeout(60)
            assert end.recv(1) == b""
        slow.check()


def test_an_artifact_is_tried_again_after_a_moment_without_threads(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    """The artifact and its siblings get no final state; a worker stages all of them later."""
    with bench(database, database_url, tmp_path) as at:
        url, other = at.build("R1"), at.build("R2")
        with no_room_for("prefetch"), pytest.raises(Unavailable, match="suites"):
            at.stage(url)
        verdicts = "SELECT name FROM staged_artifacts WHERE state IN ('failed', 'missing')"
        assert at.rows(verdicts) == []
        ((staging_id,),) = at.rows("SELECT id FROM stagings WHERE finished_at IS NULL")
        resume(at.service, at.service.find(staging_id), ORIGIN)
        assert at.service.find(staging_id).state == "staged"
        assert at.stage(other).state == "staged"
