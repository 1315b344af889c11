"""Lists of locks for operators: waiting requests, numbers of renewals, and the kinds listed."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from staging_api.db.engine import Database
from staging_api.http.app import create_app
from staging_api.locks import store
from staging_api.locks.hold import hold
from staging_api.locks.model import ARCHIVE, IDEMPOTENCY, IMAGES, PUBLISHER, Lease, LockKind
from staging_api.shutdown import Shutdown
from staging_api.staging.watch import Watch
from tests.factories import ORIGIN, lock_request
from tests.parts import parts_of
from tests.stagings import Bench, bench

LOCKS = "/api/v1.0/locks"
SCOPE = "gs://bucket/board/R17-1"


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def client(at: Bench) -> Iterator[testing.TestClient]:
    watch = Watch(at.database, threading.Semaphore(1), Shutdown())
    yield testing.TestClient(create_app(parts_of(at.service, watch)))
    watch.close()


def listed(client: testing.TestClient, **query: str) -> list[Any]:
    answer = client.simulate_get(LOCKS, params=query)
    assert answer.status_code == 200, answer.text
    items: list[Any] = answer.json["items"]
    return items


def waits(at: Bench, caller: str, scope: str = SCOPE, kind: LockKind = ARCHIVE) -> str:
    """Enqueue a request in the queue of a lock."""
    asked = lock_request(scope, kind, caller=caller, holder=f"pod of {caller}")
    with at.database.connect() as conn:
        store.wait(conn, asked, 60)
    return asked.id


def test_a_held_lock_shows_how_many_wait_and_each_of_them_in_order(
    at: Bench, client: testing.TestClient
) -> None:
    with hold(at.service.locks, ARCHIVE, SCOPE, ORIGIN):
        ids = [waits(at, name) for name in ("first", "second", "third")]
        (lock,) = listed(client)
        assert lock["waiters"] == 3
        assert client.simulate_get(f"{LOCKS}/{lock['id']}").json == lock
        page = client.simulate_get(f"{LOCKS}/{lock['id']}/waiters?limit=2").json
        assert [(each["id"], each["caller"]) for each in page["items"]] == [
            (ids[0], "first"),
            (ids[1], "second"),
        ]
        (last,) = client.simulate_get(f"{LOCKS}/{lock['id']}/waiters?after={page['next']}").json[
            "items"
        ]
        assert (last["id"], last["holder"]) == (ids[2], "pod of third")
        assert lock["acquired_at"] <= last["waits_since"] < last["leaves_at"]


def test_a_page_goes_on_behind_a_waiter_that_left_meanwhile(
    at: Bench, client: testing.TestClient
) -> None:
    with hold(at.service.locks, ARCHIVE, SCOPE, ORIGIN):
        ids = [waits(at, name) for name in ("first", "second", "third")]
        (lock,) = listed(client)
        at.tamper(f"DELETE FROM lock_waiters WHERE id = '{ids[1]}'")
        page = client.simulate_get(f"{LOCKS}/{lock['id']}/waiters?after={ids[1]}").json
        assert [each["id"] for each in page["items"]] == ids[2:]


def test_locks_that_share_a_kind_or_a_scope_each_have_their_own_who_wait(
    at: Bench, client: testing.TestClient
) -> None:
    locks = at.service.locks
    asked = [(SCOPE, ARCHIVE), (SCOPE, IMAGES), ("gs://bucket/board/R17-2", ARCHIVE)]
    with ExitStack() as held:
        ids = []
        for number, (scope, kind) in enumerate(asked):
            held.enter_context(hold(locks, kind, scope, ORIGIN))
            ids.append([waits(at, f"{each}", scope, kind) for each in range(number + 1)])
        found = listed(client)
        assert [lock["waiters"] for lock in found] == [1, 2, 3]
        for lock, expected in zip(found, ids, strict=True):
            items = client.simulate_get(f"{LOCKS}/{lock['id']}/waiters").json["items"]
            assert [each["id"] for each in items] == expected


def test_a_dead_waiter_is_not_listed(at: Bench, client: testing.TestClient) -> None:
    with hold(at.service.locks, ARCHIVE, SCOPE, ORIGIN):
        waits(at, "first")
        at.tamper("UPDATE lock_waiters SET seen_at = seen_at - interval '7 s'")
        (lock,) = listed(client)
        assert lock["waiters"] == 0
        assert client.simulate_get(f"{LOCKS}/{lock['id']}/waiters").json["items"] == []


def test_nobody_waits_for_a_lock_that_has_ended(at: Bench, client: testing.TestClient) -> None:
    with hold(at.service.locks, ARCHIVE, SCOPE, ORIGIN) as held:
        pass
    (lock,) = listed(client, state="all")
    assert (lock["id"], lock["waiters"], lock["outcome"]) == (held.lease.id, 0, "released")
    assert client.simulate_get(f"{LOCKS}/{lock['id']}/waiters").status_code == 404


def test_each_renewal_is_counted_and_stays_in_the_history(
    at: Bench, client: testing.TestClient
) -> None:
    asked = lock_request(SCOPE)
    with at.database.connect() as conn:
        lease = store.acquire(conn, asked)
        assert isinstance(lease, Lease)
        for _ in range(3):
            assert store.renew(conn, [(lease, 30.0)])[lease.id]
        assert [lock["renewals"] for lock in listed(client)] == [3]
        store.release(conn, lease, "tester")
    assert [lock["renewals"] for lock in listed(client, state="all")] == [3]


def test_locks_are_filtered_by_kind_and_scope_held_or_not(
    at: Bench, client: testing.TestClient
) -> None:
    locks = at.service.locks
    with (
        hold(locks, ARCHIVE, SCOPE, ORIGIN),
        hold(locks, PUBLISHER, "global", ORIGIN),
        hold(locks, IDEMPOTENCY, "tester key", ORIGIN),
    ):
        for state in ("held", "all"):
            kinds = {"archive", "publisher", "idempotency"}
            assert {lock["kind"] for lock in listed(client, state=state)} == kinds
            assert {lock["kind"] for lock in listed(client, state=state, kind="publisher")} == {
                "publisher"
            }
            but = listed(client, state=state, except_kind="idempotency")
            assert {lock["kind"] for lock in but} == kinds - {"idempotency"}
            for scope in (SCOPE, f"GS{SCOPE[2:]}/", "tester key", "global"):
                (found,) = listed(client, state=state, scope=scope)
                assert found["scope"] in {SCOPE, scope}
            assert listed(client, state=state, scope="gs://bucket/other") == []
