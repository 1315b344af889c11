"""``Idempotency-Key``: whose a key is, and what the same request is."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import pytest
from falcon.testing import Result, TestClient

from staging_api.db import answers
from staging_api.db.answers import KeptAnswer
from staging_api.db.engine import Database
from staging_api.http.api_lock import api_lock
from staging_api.http.idempotency import _fingerprints, answers_once
from staging_api.http.middleware import RequestContext
from staging_api.http.problems import add_error_handlers
from staging_api.locks import hold as holding
from staging_api.locks.hold import Locks
from staging_api.locks.model import ARCHIVE, LockKind
from tests.factories import locks_of
from tests.service import eventually


def named(_resource: "Thing", req: falcon.Request, _kind: LockKind) -> str:
    return req.get_param("name", default="s")


class Thing:
    """Does its work once, under a lock."""

    def __init__(self, locks: Locks) -> None:
        self.locks = locks
        self.wait_cap_seconds = 20.0
        self.runs: list[str] = []
        self.go_on = threading.Event()
        self.go_on.set()

    @answers_once
    @api_lock(ARCHIVE, scope=named)
    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        self.runs.append(req.context.caller)
        assert self.go_on.wait(20)
        resp.status = falcon.HTTP_201
        resp.media = {"run": len(self.runs)}

    @answers_once
    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Work that needs no lock but the key's."""
        self.on_post.__wrapped__.__wrapped__(self, req, resp)  # type: ignore[attr-defined]


class NameTheCaller:
    def process_resource(self, req, resp, resource, params) -> None:
        req.context.caller = req.get_header("X-Caller") or "tester"


@pytest.fixture
def thing(database: Database, database_url: str) -> Iterator[Thing]:
    with locks_of(database, database_url) as locks:
        yield Thing(locks)


@pytest.fixture
def client(thing: Thing) -> TestClient:
    app: falcon.App[Any, Any] = falcon.App(middleware=[RequestContext(), NameTheCaller()])
    add_error_handlers(app)
    app.add_route("/things", thing)
    return TestClient(app)


def send(client: TestClient, key: str | None, method: str = "POST", **more: str) -> Result:
    headers = {name.replace("_", "-"): value for name, value in more.items() if name != "query"}
    if key is not None:
        headers["Idempotency-Key"] = key
    return client.simulate_request(
        method, "/things", headers=headers, query_string=more.get("query", "")
    )


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_the_same_request_gets_the_same_answer(
    client: TestClient, thing: Thing, method: str
) -> None:
    first, again = send(client, "k", method), send(client, "k", method)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.content == first.content
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert len(thing.runs) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("a", "b c"), ("a b", "c")),
        (("a%20b", "c"), ("a b", "c")),
        (("a", "%20b c"), ("a%20b", "c")),
        (("a b", "c d"), ("a", "b c d")),
    ],
)
def test_two_callers_never_meet_in_one_key(
    one: tuple[str, str], other: tuple[str, str], client: TestClient, thing: Thing
) -> None:
    """While the first runs: with one lock for both, the second would be told that it still runs."""
    thing.go_on.clear()
    with ThreadPoolExecutor(2) as pool:
        sent = [
            pool.submit(send, client, key, X_Caller=caller, query=f"name={number}")
            for number, (caller, key) in enumerate((one, other))
        ]
        eventually(lambda: len(thing.runs) == 2, "one stands in the other's way")
        thing.go_on.set()
        assert [each.result().status_code for each in sent] == [201, 201]


def test_another_prefer_is_the_same_request(client: TestClient, thing: Thing) -> None:
    first = send(client, "k", Prefer="wait=5")
    for prefer in ("wait=7", "respond-async", "return=minimal"):
        again = send(client, "k", Prefer=prefer)
        assert (again.status_code, again.content) == (201, first.content)
    assert send(client, "k").status_code == 201
    assert send(client, "k", query="name=t").status_code == 422
    assert len(thing.runs) == 1


def test_an_answer_that_the_version_before_kept_is_found(
    client: TestClient, thing: Thing, database: Database
) -> None:
    def keep(self: object, req: falcon.Request, resp: falcon.Response, *_: object) -> None:
        with database.begin() as conn:
            kept = KeptAnswer(_fingerprints(req)[1], 201, {}, b"of before")
            answers.keep(conn, "tester", "k", kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Thing, "on_put", keep)
        noting = falcon.App(middleware=[NameTheCaller()])
        noting.add_route("/things", Thing(thing.locks))
        TestClient(noting).simulate_put("/things", headers={"Prefer": "wait=5"})
    with database.begin() as conn:
        kept = answers.find(conn, "tester", "k")
    assert kept is not None
    assert send(client, "k", "PUT", Prefer="wait=5").content == b"of before"
    assert send(client, "k", "PUT", Prefer="wait=6").status_code == 422, "as it was before"


def test_no_trace_of_a_lock_stays_in_the_thread_that_served_it(client: TestClient) -> None:
    for number in range(3):
        send(client, f"k{number}")
    assert holding._held_here.get() == ()
