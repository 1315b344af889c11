"""``/store``: its fill level and uses; and prunes, which are previewed and then executed once."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from falcon import testing

from staging_api.db.engine import Database
from staging_api.http.app import create_app
from staging_api.shutdown import Shutdown
from staging_api.staging.duties import report_steps
from staging_api.staging.upkeep import StoreTerms
from staging_api.staging.watch import Watch
from tests.factories import ORIGIN
from tests.parts import parts_of
from tests.stagings import Bench, bench

STORE = "/api/v1.0/store"
TERMS = StoreTerms(quota_bytes=1_000_000, idle_seconds=0, noted_seconds=0, busy_seconds=0)


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path, store=TERMS) as made:
        yield made


@pytest.fixture
def client(at: Bench) -> Iterator[testing.TestClient]:
    watch = Watch(at.database, threading.Semaphore(1), Shutdown())
    yield testing.TestClient(create_app(parts_of(at.service, watch)))
    watch.close()


def payload(at: Bench, name: str, content: bytes) -> str:
    """Stage a build that has only a payload, and return its artifact's id."""
    return at.stage(at.build(name, payload_bin=content), "payload").artifacts[0].id


def post(client: testing.TestClient, **body: Any) -> testing.Result:
    return client.simulate_post(f"{STORE}/prune", json=body)


def counted(at: Bench) -> None:
    """Let a worker count the uses of the store."""
    for step in report_steps(at.service):
        if step.name == "use of the store":
            step.run()


def states(at: Bench) -> dict[str, str]:
    return dict(at.rows("SELECT id, state FROM staged_artifacts"))


def test_the_store_shows_each_use_once_and_what_sharing_saves(
    at: Bench, client: testing.TestClient
) -> None:
    pinned, shared = payload(at, "a", b"p" * 100), payload(at, "b", b"s" * 30)
    payload(at, "c", b"s" * 30)
    old = payload(at, "d", b"o" * 7)
    at.service.artifacts.pin(pinned, datetime.now(UTC) + timedelta(hours=1), ORIGIN)
    at.tamper(
        "UPDATE staged_artifacts SET staged_at = staged_at - interval '8 d' WHERE id = :i", i=old
    )
    empty = client.simulate_get(STORE).json
    assert (empty["usage"], empty["counted_at"], empty["used_bytes"]) == ([], None, 137)
    counted(at)
    found = client.simulate_get(STORE).json
    assert [
        (each["use"], each["blobs"], each["bytes"], each["files"], each["file_bytes"])
        for each in found["usage"]
    ] == [
        ("pinned", 1, 100, 1, 100),
        ("read_lately", 1, 30, 2, 60),
        ("idle", 1, 7, 1, 7),
    ]
    assert found["quota_bytes"] == 1_000_000
    assert found["free_bytes"] > 0
    assert [each["bytes"] for each in found["largest"]] == [100, 30, 30, 7]
    idlest = [each["id"] for each in found["idlest"]]
    assert idlest[:2] == [old, shared]
    assert pinned not in idlest


def test_what_is_marked_for_deletion_is_garbage_and_then_unnamed(
    at: Bench, client: testing.TestClient
) -> None:
    at.service.artifacts.evict(payload(at, "a", b"x" * 11), ORIGIN)
    counted(at)
    found = client.simulate_get(STORE).json
    assert (found["used_bytes"], found["garbage_bytes"]) == (11, 11)
    assert [(each["use"], each["bytes"]) for each in found["usage"]] == [("unnamed", 11)]


def test_one_worker_counts_for_all_and_not_all_the_time(
    at: Bench, client: testing.TestClient
) -> None:
    payload(at, "a", b"1")
    counted(at)
    payload(at, "b", b"22")
    counted(at)
    assert sum(each["bytes"] for each in client.simulate_get(STORE).json["usage"]) == 1
    at.tamper("UPDATE store_usage SET counted_at = counted_at - interval '31 min'")
    counted(at)
    assert sum(each["bytes"] for each in client.simulate_get(STORE).json["usage"]) == 3


def test_a_preview_changes_nothing_and_its_token_evicts_what_it_listed(
    at: Bench, client: testing.TestClient
) -> None:
    ids = [payload(at, name, name.encode() * 10) for name in ("a", "b", "c")]
    preview = post(client, keep_bytes=15).json
    assert [each["id"] for each in preview["artifacts"]] == ids[:2]
    assert (preview["frees_bytes"], preview["previewed"], preview["begun_at"]) == (20, 2, None)
    assert set(states(at).values()) == {"staged"}
    assert client.simulate_get(f"{STORE}/prunes").json["items"] == []
    answer = post(client, token=preview["token"], reason="the disk is nearly full")
    done = answer.json
    assert answer.status_code == 200, answer.text
    assert (done["evicted"], done["freed_bytes"], done["artifacts"]) == (2, 20, [])
    assert states(at) == {ids[0]: "evicted", ids[1]: "evicted", ids[2]: "staged"}
    (record,) = client.simulate_get(f"{STORE}/prunes").json["items"]
    assert (record["token"], record["reason"], record["begun_by"]) == (
        preview["token"],
        "the disk is nearly full",
        "anonymous",
    )
    actors = at.rows("SELECT DISTINCT actor FROM staging_events WHERE to_state = 'evicted'")
    assert actors == [("anonymous",)]
    [(used,)] = at.rows("SELECT sum(size_bytes) FROM blobs")
    assert used == 10


def test_what_is_used_since_the_preview_stays(at: Bench, client: testing.TestClient) -> None:
    ids = [payload(at, name, name.encode()) for name in ("a", "b", "c", "d")]
    preview = post(client, idle_seconds=0).json
    assert [each["id"] for each in preview["artifacts"]] == ids
    at.service.artifacts.pin(ids[0], datetime.now(UTC) + timedelta(hours=1), ORIGIN)
    at.tamper(
        "UPDATE staged_artifacts SET last_accessed_at = clock_timestamp() WHERE id = :i", i=ids[1]
    )
    at.service.artifacts.evict(ids[2], ORIGIN)
    done = post(client, token=preview["token"], reason="not needed").json
    assert done["evicted"] == 1
    assert [each["id"] for each in done["artifacts"]] == ids[:2]
    assert [states(at)[each] for each in ids] == ["staged", "staged", "evicted", "evicted"]


def test_a_token_is_good_once_and_for_an_hour(at: Bench, client: testing.TestClient) -> None:
    payload(at, "a", b"1")
    first, second = (post(client).json["token"] for _ in range(2))
    assert post(client, token=first, reason="twice").status_code == 200
    again = post(client, token=first, reason="twice")
    assert (again.status_code, again.json["code"]) == (409, "conflict")
    at.tamper("UPDATE store_prunes SET made_at = made_at - interval '1 h' WHERE id = :i", i=second)
    late = post(client, token=second, reason="too late")
    assert (late.status_code, "older than an hour" in late.json["detail"]) == (409, True)
    unknown = post(client, token="01ARZ3NDEKTSV4RRFFQ69G5FAV", reason="nothing")
    assert unknown.status_code == 404


@pytest.mark.parametrize(
    "body",
    [
        {"token": "01ARZ3NDEKTSV4RRFFQ69G5FAV"},
        {"reason": "there is no token"},
        {"token": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "reason": "more", "keep_bytes": 1},
        {"token": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "reason": "a\0b"},
        {"idle_seconds": -1},
    ],
    ids=["no-reason", "no-token", "more-than-a-token", "nul", "negative"],
)
def test_a_request_that_is_neither_a_preview_nor_its_token_is_refused(
    client: testing.TestClient, body: dict[str, Any]
) -> None:
    assert post(client, **body).status_code == 400


def test_nothing_to_free_is_an_empty_preview(at: Bench, client: testing.TestClient) -> None:
    payload(at, "a", b"123")
    assert post(client, keep_bytes=3).json["artifacts"] == []
    assert post(client, idle_seconds=3600).json["artifacts"] == []
