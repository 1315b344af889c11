"""Responders under ``@api_lock`` in a Falcon application: responses as clients see them."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import pytest
from falcon.testing import Result, TestClient

from staging_api import metrics
from staging_api.db.engine import Database, open_database
from staging_api.errors import Invalid
from staging_api.http.api_lock import api_lock
from staging_api.http.auth import origin
from staging_api.http.middleware import RequestContext
from staging_api.http.problems import add_error_handlers
from staging_api.locks.hold import Locks, hold
from staging_api.locks.model import ARCHIVE, IMAGES, LockKind
from tests.factories import ORIGIN, locks_of
from tests.leases import acquired, rows
from tests.proxy import proxied

Body = Callable[[falcon.Request, falcon.Response], None]


def named(_resource: "Thing", req: falcon.Request, kind: LockKind) -> str | None:
    name = req.get_param("name")
    if name is None:
        raise Invalid.field("name", "must be given")
    return name if kind is ARCHIVE or req.get_param_as_bool("images") else None


def free_of_charge(resource: "Thing", req: falcon.Request, resp: falcon.Response) -> bool:
    resp.text = "nothing to do"
    resource.looks += 1
    return req.get_param("unless") in ("true", f"look {resource.looks}")


class Thing:
    """Resource with a decorated responder; `body` is the responder's work."""

    def __init__(self, locks: Locks, wait_cap_seconds: float = 20.0) -> None:
        self.locks = locks
        self.wait_cap_seconds = wait_cap_seconds
        self.body: Body = lambda req, resp: None
        self.runs = 0
        self.looks = 0

    @api_lock(ARCHIVE, IMAGES, scope=named, unless=free_of_charge)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.runs += 1
        resp.text = "done"
        self.body(req, resp)


class NameTheCaller:
    """Middleware in place of authentication."""

    def process_resource(self, req, resp, resource, params) -> None:
        req.context.caller = req.get_header("X-Caller") or "tester"


@pytest.fixture
def thing(database: Database, database_url: str) -> Iterator[Thing]:
    with locks_of(database, database_url) as locks:
        yield Thing(locks)


def client_of(thing: Thing) -> TestClient:
    app: falcon.App[Any, Any] = falcon.App(middleware=[RequestContext(), NameTheCaller()])
    add_error_handlers(app)
    app.add_route("/things", thing)
    return TestClient(app)


@pytest.fixture
def client(thing: Thing) -> TestClient:
    return client_of(thing)


def post(client: TestClient, query: str = "name=s", **headers: str) -> Result:
    return client.simulate_post(
        f"/things?{query}", headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


def problem(result: Result) -> dict[str, Any]:
    assert result.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = result.json
    return document


def test_the_lock_is_held_while_the_responder_runs_and_free_afterwards(
    thing: Thing, client: TestClient, database: Database
) -> None:
    held: list[tuple[Any, ...]] = []
    query = "SELECT kind, scope FROM lock_scopes WHERE lock_id IS NOT NULL ORDER BY kind"
    thing.body = lambda req, resp: held.extend(rows(database, query))
    assert post(client, "name=s&images=true").text == "done"
    assert held == [("archive", "s"), ("images", "s")]
    assert rows(database, query) == []


def test_a_kind_that_the_request_does_not_need_is_not_taken(
    thing: Thing, client: TestClient, database: Database
) -> None:
    post(client)
    assert rows(database, "SELECT kind FROM api_locks") == [("archive",)]


def test_the_history_has_the_caller_and_its_marker(client: TestClient, database: Database) -> None:
    marker = "6f8c1a34-90ab-4b6e-bb1c-0f6f7a4d1d0e"
    post(client, X_Caller="alice", X_Context_Marker=marker)
    assert rows(database, "SELECT caller, holder, reference_id FROM api_locks") == [
        ("alice", "this-process", marker)
    ]


def test_promise_13_a_refusal_is_409_with_all_that_the_client_needs(
    thing: Thing, client: TestClient, database: Database
) -> None:
    lease = acquired(database, scope="s", lease_seconds=20)
    result = post(client)
    assert (result.status_code, thing.runs) == (409, 0)
    assert 19 <= int(result.headers["retry-after"]) <= 20
    body = problem(result)
    assert (body["type"], body["code"], body["retryable"], body["status"]) == (
        "urn:staging-api:lock_held",
        "lock_held",
        True,
        409,
    )
    assert body["instance"] == "/things"
    lock = body["lock"]
    assert (lock["id"], lock["kind"], lock["scope"], lock["holder"]) == (
        lease.id,
        "archive",
        "s",
        "this-process",
    )
    assert 19 <= lock["expires_in_seconds"] <= 20
    assert lock["expires_at"].endswith("Z")
    assert str(lease.fence) not in result.text, "the fence is nobody else's business"


def test_promise_13_a_database_out_of_reach_is_503_and_never_409(
    database: Database, database_url: str
) -> None:
    with proxied(database_url) as proxy:
        through = open_database(proxy.url, pool_size=1)
        with locks_of(through, proxy.url) as locks:
            thing = Thing(locks)
            proxy.close()
            result = post(client_of(thing))
        through.close()
    assert (result.status_code, thing.runs) == (503, 0)
    assert int(result.headers["retry-after"]) >= 1
    assert problem(result)["code"] == "unavailable"


def test_bad_input_is_refused_before_any_lock_is_taken(
    client: TestClient, database: Database
) -> None:
    assert post(client, "").status_code == 400
    assert rows(database, "SELECT * FROM lock_scopes") == []


def test_a_request_with_nothing_to_do_takes_no_lock(
    thing: Thing, client: TestClient, database: Database
) -> None:
    acquired(database, scope="s")
    assert post(client, "name=s&unless=true").text == "nothing to do"
    assert thing.runs == 0


def test_what_another_did_while_the_lock_was_waited_for_is_not_done_again(
    thing: Thing, client: TestClient, database: Database
) -> None:
    assert post(client, "name=s&unless=look 2").text == "nothing to do"
    assert thing.runs == 0
    assert rows(database, "SELECT outcome FROM api_locks") == [("released",)]


@pytest.mark.parametrize(
    ("error", "status"), [(falcon.HTTPNotFound(), 404), (RuntimeError("boom"), 500)]
)
def test_an_error_of_the_responder_is_its_own_and_frees_the_lock(
    thing: Thing, client: TestClient, database: Database, error: Exception, status: int
) -> None:
    def fail(req, resp) -> None:
        raise error

    thing.body = fail
    assert post(client).status_code == status
    assert rows(database, "SELECT outcome FROM api_locks") == [("released",)]


def test_promise_15_a_responder_may_take_its_own_lock_again(
    thing: Thing, client: TestClient, database: Database
) -> None:
    def nested(req, resp) -> None:
        with hold(thing.locks, ARCHIVE, "s", origin(req)) as held:
            resp.text = held.lease.id

    thing.body = nested
    assert rows(database, "SELECT id, outcome FROM api_locks") == []
    lock_id = post(client).text
    assert rows(database, "SELECT id, outcome FROM api_locks") == [(lock_id, "released")]


def test_promise_19_a_responder_that_lost_its_lock_is_409_and_never_200(
    thing: Thing, client: TestClient, database: Database
) -> None:
    def lose(req, resp) -> None:
        for (lock_id,) in rows(database, "SELECT lock_id FROM lock_scopes"):
            with database.connect() as conn:
                conn.exec_driver_sql("SELECT lock_break(%s, 'operator', 'test')", (lock_id,))
        resp.status = falcon.HTTP_201

    thing.body = lose
    lost = metrics.LOCKS_LOST.labels("archive")._value.get()
    result = post(client)
    assert (result.status_code, problem(result)["code"]) == (409, "lock_lost")
    assert problem(result)["retryable"] is True
    assert metrics.LOCKS_LOST.labels("archive")._value.get() == lost + 1


def test_promise_14_prefer_wait_is_answered_when_the_lock_is_free(
    thing: Thing, client: TestClient, database: Database
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with hold(thing.locks, ARCHIVE, "s", ORIGIN):
            waiting = pool.submit(post, client, Prefer="wait=15")
            while not rows(database, "SELECT 1 FROM lock_waiters"):
                time.sleep(0.005)
        result = waiting.result(15)
    assert (result.status_code, result.headers["preference-applied"]) == (200, "wait=15")


def test_a_response_names_no_preference_that_was_not_sent(client: TestClient) -> None:
    result = post(client)
    assert result.status_code == 200
    assert "preference-applied" not in result.headers


def test_promise_14_waits_for_all_locks_together_end_at_the_cap(
    thing: Thing, client: TestClient, database: Database
) -> None:
    thing.wait_cap_seconds = 0.6
    acquired(database, scope="s", lease_seconds=0.4)
    acquired(database, scope="s", kind=IMAGES, lease_seconds=30)
    started = time.monotonic()
    result = post(client, "name=s&images=true", Prefer="wait=3600")
    assert result.status_code == 409
    assert problem(result)["lock"]["kind"] == "images"
    assert time.monotonic() - started < 1.6
    assert rows(database, "SELECT * FROM lock_waiters") == []


def test_promise_14_without_a_waiter_slot_the_response_comes_at_once(
    database: Database, database_url: str
) -> None:
    with locks_of(database, database_url, waiter_slots=0) as locks:
        acquired(database, scope="s")
        result = post(client_of(Thing(locks)), Prefer="wait=20")
    assert result.status_code == 409
    assert "preference-applied" not in result.headers, "a preference that was not kept"
    assert rows(database, "SELECT * FROM lock_waiters") == []


def test_what_happens_to_locks_is_counted(
    thing: Thing, client: TestClient, database: Database
) -> None:
    def counts() -> list[float]:
        return [
            metrics.LOCKS_GRANTED.labels("archive")._value.get(),
            metrics.LOCKS_REFUSED.labels("archive")._value.get(),
            metrics.LOCKS_WAITED.labels("archive")._value.get(),
            sum(bar.get() for bar in metrics.LOCK_WAIT_SECONDS.labels("archive")._buckets),
            metrics.LOCK_HOLD_SECONDS.labels("archive")._sum.get() > 0,
            metrics.LOCKS_HELD.labels("archive")._value.get(),
        ]

    held_meanwhile: list[float] = []
    thing.body = lambda req, resp: held_meanwhile.append(counts()[-1])
    before = counts()
    post(client)
    acquired(database, scope="s", lease_seconds=0.4)
    post(client)
    post(client, Prefer="wait=10")
    after = counts()
    assert [now - then for now, then in zip(after, before, strict=True)][:4] == [2, 1, 1, 1]
    assert held_meanwhile == [before[-1] + 1, before[-1] + 1]
    assert after[-1] == before[-1]


def test_requests_of_many_threads_never_run_at_once(thing: Thing, client: TestClient) -> None:
    inside = threading.Semaphore(1)

    def alone(req, resp) -> None:
        assert inside.acquire(blocking=False)
        inside.release()

    thing.body = alone
    with ThreadPoolExecutor(8) as pool:
        results = [pool.submit(post, client, Prefer="wait=15") for _ in range(24)]
        assert {r.result(30).status_code for r in results} <= {200, 409}
    assert thing.runs >= 8
