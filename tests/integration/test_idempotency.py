"""``Idempotency-Key``: the owner of a key, and the comparison of repeated requests."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import falcon
import pytest
from falcon.testing import Result, TestClient

from staging_api.db import idempotency_rows
from staging_api.db.engine import Database
from staging_api.db.idempotency_rows import KeptResponse
from staging_api.http.api_lock import api_lock
from staging_api.http.idempotency import _fingerprints, answers_once
from staging_api.http.middleware import RequestContext
from staging_api.http.problems import add_error_handlers
from staging_api.locks import hold as holding
from staging_api.locks.hold import Locks
from staging_api.locks.model import ARCHIVE, IDEMPOTENCY, IMAGES, LockKind
from tests.factories import locks_of
from tests.leases import acquired, released, rows
from tests.service import eventually

WAITING = "SELECT kind FROM lock_waiters"
_ROUNDS = 40


def named(_resource: "Thing", req: falcon.Request, _kind: LockKind) -> str:
    return req.get_param("name", default="s")


def found_without_a_lock(thing: "Thing", req: falcon.Request, resp: falcon.Response) -> bool:
    thing.meanwhile(req)
    resp.media = {"found": thing.found}
    resp.set_header("ETag", f'"{thing.found}"')
    return thing.found > 0


class Thing:
    """A resource that does its work once, under a lock."""

    def __init__(self, locks: Locks) -> None:
        self.locks = locks
        self.wait_cap_seconds = 20.0
        self.runs: list[str] = []
        self.found = 0
        self.meanwhile: Callable[[falcon.Request], None] = lambda _: None
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
    @api_lock(IMAGES, scope=named, unless=found_without_a_lock)
    def on_patch(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Do work that may have been done already."""
        self.runs.append(req.context.caller)
        resp.status = falcon.HTTP_201

    @answers_once
    def on_put(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Do work under no lock except the key's."""
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
    ("key", "status"),
    [
        *(("k" * 255, 201), ("~", 201), ("a b", 201)),
        *(("k" * 256, 400), ("", 400), ("\xe9", 400), ("a\x7f", 400)),
    ],
)
def test_a_key_is_up_to_255_printable_characters_of_ascii(
    client: TestClient, thing: Thing, key: str, status: int
) -> None:
    answer = send(client, key)
    assert answer.status_code == status
    if status == 400:
        assert answer.json["errors"][0]["field"] == "Idempotency-Key"
    assert len(thing.runs) == (1 if status == 201 else 0)


def test_members_in_another_order_are_the_same_request(client: TestClient, thing: Thing) -> None:
    def sent(body: str) -> tuple[int, bool]:
        headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
        answer = client.simulate_post("/things", body=body, headers=headers)
        return answer.status_code, "Idempotent-Replayed" in answer.headers

    assert sent('{"a": 1, "b": 2}') == (201, False)
    assert sent('{"b": 2, "a": 1}') == (201, True)
    assert sent('{"a": 2, "b": 1}') == (422, False)
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
    """While the first request runs, the second would be refused if both had one lock."""
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
            kept = KeptResponse(_fingerprints(self, req)[1], 201, {}, b"of before")
            idempotency_rows.keep(conn, "tester", "k", kept)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Thing, "on_put", keep)
        noting = falcon.App(middleware=[NameTheCaller()])
        noting.add_route("/things", Thing(thing.locks))
        TestClient(noting).simulate_put("/things", headers={"Prefer": "wait=5"})
    with database.begin() as conn:
        kept = idempotency_rows.find(conn, "tester", "k")
    assert kept is not None
    assert send(client, "k", "PUT", Prefer="wait=5").content == b"of before"
    assert send(client, "k", "PUT", Prefer="wait=6").status_code == 422, "as it was before"


def test_no_trace_of_a_lock_stays_in_the_thread_that_served_it(client: TestClient) -> None:
    for number in range(3):
        send(client, f"k{number}")
    assert holding._entered.get() == ()


def cost(database: Database, work: Callable[[], object]) -> tuple[int, int, int]:
    """Return the lowest cost of several rounds: transaction ids, history rows and bytes of WAL.

    The server writes a little by itself and for other tests; the work would write in each round.
    """
    query = """
        SELECT txid_snapshot_xmax(txid_current_snapshot()), (SELECT count(*) FROM api_locks),
            pg_current_wal_insert_lsn() - '0/0'::pg_lsn
    """
    found: list[tuple[int, int, int]] = []
    while len(found) < _ROUNDS and (0, 0) not in {each[:2] for each in found}:
        before = rows(database, query)[0]
        work()
        after = rows(database, query)[0]
        xids, history, wal = (int(new - old) for new, old in zip(after, before, strict=True))
        found.append((xids, history, wal))
    return min(found)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize("key", [None, "one", "many"])
def test_a_refusal_writes_nothing_with_a_key_and_without(
    key: str | None, method: str, client: TestClient, database: Database
) -> None:
    kind = IMAGES if method == "PATCH" else ARCHIVE
    acquired(database, kind=kind, scope="s")
    sent = 0

    def refuse() -> None:
        nonlocal sent
        # Few calls keep a round short: in a long round on a busy machine another process writes.
        for _ in range(4):
            sent += 1
            answer = send(client, f"{key}-{sent}" if key == "many" else key, method)
            assert (answer.status_code, answer.json["code"]) == (409, "lock_held")
            assert answer.json["lock"]["kind"] == kind.name

    xids, history, wal = cost(database, refuse)
    assert (xids, history) == (0, 0)
    assert wal < 1000
    assert send(client, key, method, query="name=t").status_code == 201, "the other is free"


def test_a_request_that_timed_out_did_not_take_the_lock_of_its_key(
    client: TestClient, database: Database
) -> None:
    lease = acquired(database, kind=ARCHIVE, scope="s")
    for _ in range(2):
        refused = send(client, "k", Prefer="wait=1")
        assert (refused.status_code, refused.json["code"]) == (409, "lock_held")
    assert rows(database, "SELECT kind FROM api_locks") == [("archive",)]
    released(database, lease)
    assert send(client, "k", Prefer="wait=1").status_code == 201


def test_the_second_with_a_key_hears_that_the_first_still_runs(
    client: TestClient, thing: Thing, database: Database
) -> None:
    """Callers with another key, and other callers, get an error about the lock instead."""
    thing.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, client, "k")
        eventually(lambda: thing.runs == ["tester"], "the first does not run")
        same = [send(client, "k"), send(client, "k", query="name=t"), send(client, "k", "PUT")]
        others = [send(client, "l"), send(client, "k", X_Caller="other"), send(client, None)]
        thing.go_on.set()
        assert first.result().status_code == 201
    assert [(each.status_code, each.json["code"]) for each in same] == [
        (409, "idempotency_key_busy")
    ] * 3
    assert all(int(each.headers["Retry-After"]) >= 1 for each in same)
    assert [(each.status_code, each.json["code"]) for each in others] == [(409, "lock_held")] * 3
    assert send(client, "k").content == first.result().content
    assert send(client, "k", query="name=t").status_code == 422
    assert thing.runs == ["tester"]


def test_a_waiting_request_with_the_same_key_gets_the_first_answer(
    client: TestClient, thing: Thing, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    thing.go_on.clear()
    keep = idempotency_rows.keep

    def keep_late(*given: Any) -> None:
        eventually(
            lambda: rows(database, WAITING) == [("idempotency",)], "no request waits for the key"
        )
        keep(*given)

    monkeypatch.setattr(idempotency_rows, "keep", keep_late)
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, client, "k")
        eventually(lambda: thing.runs == ["tester"], "the first does not run")
        again = pool.submit(send, client, "k", Prefer="wait=20")
        eventually(lambda: rows(database, WAITING) == [("archive",)], "the second does not wait")
        thing.go_on.set()
        assert first.result().status_code == 201
        assert (again.result().status_code, again.result().content) == (201, first.result().content)
    assert len(thing.runs) == 1


def test_the_response_to_a_request_without_a_lock_is_stored_too(
    client: TestClient, thing: Thing, database: Database
) -> None:
    acquired(database, kind=IMAGES, scope="s")
    thing.found = 1
    first = send(client, "k", "PATCH")
    assert (first.status_code, first.json, first.headers["ETag"]) == (200, {"found": 1}, '"1"')
    thing.found = 2
    assert send(client, "k", "PATCH").json == {"found": 1}
    assert send(client, "k", "PATCH", query="name=t").status_code == 422
    assert send(client, "l", "PATCH").json == {"found": 2}
    thing.found = 0
    assert send(client, "k", "PATCH").json == {"found": 1}
    assert thing.runs == []


def test_a_response_that_another_process_stored_meanwhile_replaces_our_own_entirely(
    client: TestClient, thing: Thing, database: Database
) -> None:
    def kept_meanwhile(req: falcon.Request) -> None:
        answer = KeptResponse(_fingerprints(thing, req)[0], 201, {}, b"of the other")
        with database.begin() as conn:
            idempotency_rows.keep(conn, "tester", "k", answer)

    thing.found, thing.meanwhile = 1, kept_meanwhile
    answer = send(client, "k", "PATCH")
    assert (answer.status_code, answer.content) == (201, b"of the other")
    assert answer.headers["Idempotent-Replayed"] == "true"
    assert "ETag" not in answer.headers


def test_an_answer_without_a_lock_is_not_given_while_the_first_request_runs(
    client: TestClient, thing: Thing, database: Database
) -> None:
    thing.found = 1
    acquired(database, kind=IDEMPOTENCY, scope="tester k")
    busy = send(client, "k", "PATCH")
    assert (busy.status_code, busy.json["code"]) == (409, "idempotency_key_busy")
    assert "ETag" not in busy.headers
    assert send(client, "l", "PATCH").headers["ETag"] == '"1"'


def test_no_response_is_stored_if_the_lock_was_lost(
    client: TestClient, thing: Thing, database: Database
) -> None:
    thing.go_on.clear()
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(send, client, "k")
        eventually(lambda: thing.runs == ["tester"], "the first does not run")
        with database.begin() as conn:
            conn.exec_driver_sql(
                "SELECT lock_break(lock_id, 'operator', 'a test') FROM lock_scopes"
                " WHERE kind = 'archive'"
            )
        thing.go_on.set()
        assert (first.result().status_code, first.result().json["code"]) == (409, "lock_lost")
    assert send(client, "k").status_code == 201
    assert len(thing.runs) == 2
