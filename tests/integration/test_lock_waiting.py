"""Many waiters in one process: their cost, and that each is served despite lost notices."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text

from staging_api.db.engine import Database, open_database
from staging_api.errors import ConnectionLost, LockHeld
from staging_api.locks import store
from staging_api.locks.hold import Locks, hold
from staging_api.locks.model import ARCHIVE, LockKind, new_id
from tests.factories import ORIGIN, lock_request, locks_of
from tests.leases import acquired, broken, expire, released, rows
from tests.proxy import Proxy, proxied
from tests.service import eventually

WAITERS = 8
SEEN = "SELECT min(seen_at), max(seen_at) FROM lock_waiters"


@pytest.fixture
def proxy(database_url: str) -> Iterator[Proxy]:
    with proxied(database_url) as made:
        yield made


@dataclass
class Process:
    """A process whose requests wait in threads; `served` lists their scopes in order of service."""

    locks: Locks
    pool: ThreadPoolExecutor
    served: list[str] = field(default_factory=list)

    def wait_for(self, scope: str, **given) -> Future[None]:
        return self.pool.submit(self._wait, scope, **{"kind": ARCHIVE, "seconds": 60, **given})

    def _wait(self, scope: str, kind, seconds: float) -> None:
        with hold(self.locks, kind, scope, ORIGIN, wait_seconds=seconds):
            self.served.append(scope)


@contextmanager
def process(database: Database, listens_at: str, holder: str = "other") -> Iterator[Process]:
    with locks_of(database, listens_at, holder) as locks, ThreadPoolExecutor(WAITERS) as pool:
        yield Process(locks, pool)


@pytest.fixture
def deaf(database: Database) -> Iterator[Process]:
    """Yield a process whose listener never gets a connection."""
    with process(database, "postgresql://127.0.0.1:1/nowhere", "deaf") as made:
        yield made


def queued(database: Database, count: int) -> None:
    query = "SELECT count(*) FROM lock_waiters"
    eventually(lambda: rows(database, query) == [(count,)], f"not {count} wait")


def looked_after(database: Database, times: int = 1) -> None:
    """Wait until all waiters were seen this many more times."""
    for _ in range(times):
        ((_, before),) = rows(database, SEEN)
        eventually(partial(all_seen_since, database, before), "nothing is looked after")


def all_seen_since(database: Database, before: datetime) -> bool:
    ((first, _),) = rows(database, SEEN)
    return bool(first > before)


def test_the_waiters_of_a_process_show_by_one_statement_that_they_live(
    proxy: Proxy, database: Database, database_url: str
) -> None:
    leases = [acquired(database, scope=scope, lease_seconds=300) for scope in "ab"]
    with (
        closing(open_database(proxy.url, WAITERS)) as through,
        process(through, database_url) as ours,
    ):
        waiting = [ours.wait_for("ab"[number % 2]) for number in range(WAITERS)]
        queued(database, WAITERS)
        looked_after(database)
        before = proxy.queries
        looked_after(database, times=2)
        assert proxy.queries - before <= 3
        for lease in leases:
            released(database, lease)
        for each in waiting:
            each.result()
    assert sorted(ours.served) == sorted("ab" * (WAITERS // 2))


@pytest.mark.parametrize("end", [released, expire, broken])
def test_without_a_listener_a_lock_that_is_free_goes_to_a_waiter(
    end: Callable[[Database, object], object], deaf: Process, database: Database
) -> None:
    leases = [acquired(database, scope=scope, lease_seconds=300) for scope in "abc"]
    waiting = {scope: [deaf.wait_for(scope), deaf.wait_for(scope)] for scope in "abc"}
    queued(database, 6)
    for lease in leases[:2]:
        end(database, lease)
    for each in (*waiting["a"], *waiting["b"]):
        each.result()
    assert sorted(deaf.served) == ["a", "a", "b", "b"]
    queued(database, 2)
    released(database, leases[2])
    for each in waiting["c"]:
        each.result()


def test_a_waiter_whose_place_was_lost_takes_a_new_one(deaf: Process, database: Database) -> None:
    lease = acquired(database, scope="s", lease_seconds=300)
    waiting = [deaf.wait_for("s"), deaf.wait_for("s")]
    queued(database, 2)
    places = rows(database, "SELECT min(place) FROM lock_waiters")
    with database.begin() as conn:
        conn.execute(text("DELETE FROM lock_waiters"))
    queued(database, 2)
    assert rows(database, "SELECT min(place) FROM lock_waiters") > places
    released(database, lease)
    for each in waiting:
        each.result()


def test_waiters_outlive_connections_that_break(
    proxy: Proxy, database: Database, database_url: str
) -> None:
    lease = acquired(database, scope="s", lease_seconds=300)
    with closing(open_database(proxy.url, WAITERS)) as through, process(through, proxy.url) as ours:
        waiting = [ours.wait_for("s") for _ in range(WAITERS)]
        queued(database, WAITERS)
        for _ in range(3):
            proxy.cut()
            looked_after(database)
        released(database, lease)
        for each in waiting:
            each.result()
    assert rows(database, "SELECT DISTINCT outcome FROM api_locks") == [("released",)]


@pytest.mark.parametrize(("lost", "is_served"), [(1, True), (2, False)])
def test_a_place_in_the_queue_is_requested_again_if_there_is_no_answer(
    deaf: Process, database: Database, monkeypatch: pytest.MonkeyPatch, lost: int, is_served: bool
) -> None:
    left, wait = iter([True] * lost), store.wait

    def unanswered(*given: Any) -> None:
        wait(*given)
        if next(left, False):
            raise ConnectionLost("the connection to the database broke")

    monkeypatch.setattr(store, "wait", unanswered)
    lease = acquired(database, scope="s", lease_seconds=300)
    waiting = deaf.wait_for("s")
    if not is_served:
        with pytest.raises(ConnectionLost):
            waiting.result()
        return
    queued(database, 1)
    released(database, lease)
    waiting.result()
    assert deaf.served == ["s"]


def test_waiters_are_served_once_the_rest_of_their_scope_is_over(
    deaf: Process, database: Database
) -> None:
    resting = LockKind("resting", delay_seconds=1)
    leases = [acquired(database, kind=resting, scope=scope) for scope in "ab"]
    waiting = [deaf.wait_for(scope, kind=resting) for scope in "aab"]
    queued(database, 3)
    expire(database, leases[0])
    for each in waiting[:2]:
        each.result()
    assert deaf.served == ["a", "a"]
    released(database, leases[1])
    waiting[2].result()


def test_the_first_of_all_processes_is_served_first(
    deaf: Process, database: Database, database_url: str
) -> None:
    """The first waiter is in another process than the one that finds the lock free."""
    lease = acquired(database, scope="s", lease_seconds=300)
    with process(database, database_url) as other:
        first = other.wait_for("s")
        queued(database, 1)
        second = deaf.wait_for("s")
        queued(database, 2)
        expire(database, lease)
        first.result()
        second.result()
    holders = rows(database, "SELECT holder FROM api_locks ORDER BY fence")
    assert holders == [("this-process",), ("other",), ("deaf",)]


def test_a_waiter_that_times_out_leaves_the_queue_and_others_stay(
    deaf: Process, database: Database
) -> None:
    lease = acquired(database, scope="s", lease_seconds=300)
    patient = deaf.wait_for("s")
    queued(database, 1)
    impatient = deaf.wait_for("s", seconds=1)
    with pytest.raises(LockHeld):
        impatient.result()
    queued(database, 1)
    released(database, lease)
    patient.result()


def test_waiters_are_refused_when_their_process_ends(deaf: Process, database: Database) -> None:
    acquired(database, scope="s", lease_seconds=300)
    waiting = [deaf.wait_for("s", seconds=300) for _ in range(3)]
    queued(database, 3)
    deaf.locks.shutdown.begin(60)
    for each in waiting:
        with pytest.raises(LockHeld):
            each.result(30)
    queued(database, 0)


def test_a_waiter_that_is_being_served_holds_up_no_look_at_the_others(database: Database) -> None:
    ids = []
    for scope in "ab":
        acquired(database, scope=scope)
        request = lock_request(scope=scope)
        ids.append(request.id)
        with database.connect() as conn:
            store.wait(conn, request, 60)
    with database.begin() as serving, database.connect() as conn:
        serving.execute(text("DELETE FROM lock_waiters WHERE id = :id"), {"id": ids[0]})
        assert [place.id for place in store.poll_waiters(conn, ids)] == ids[1:]


def test_the_poll_returns_the_remaining_time_of_each_lock(database: Database) -> None:
    requests = {}
    for scope, end in (("held", None), ("over", expire), ("free", released)):
        lease = acquired(database, scope=scope, lease_seconds=100)
        requests[scope] = lock_request(scope=scope)
        with database.connect() as conn:
            store.wait(conn, requests[scope], 60)
        if end is expire:
            expire(database, lease)
        elif end is released:
            with database.begin() as conn:
                conn.execute(
                    text(
                        "UPDATE lock_scopes SET lock_id = NULL, expires_at = NULL,"
                        " caller = NULL, holder = NULL, acquired_at = NULL WHERE scope = 'free'"
                    )
                )
    with database.connect() as conn:
        ids = [request.id for request in requests.values()]
        found = store.poll_waiters(conn, [*ids, new_id()])
    assert [place.id for place in found] == ids
    assert [round(place.held_seconds) for place in found] == [100, 0, 0]
