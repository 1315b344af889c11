"""Filters of lists, in any spelling; lists of archives and events; the caller's identity."""

import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from falcon import testing
from sqlalchemy import text

from staging_api import about
from staging_api.db.engine import Database
from staging_api.errors import ArchiveCorrupt
from staging_api.http.app import create_app
from staging_api.shutdown import Shutdown
from staging_api.staging.repository import event_rows
from staging_api.staging.watch import Watch
from tests.factories import ORIGIN
from tests.parts import parts_of
from tests.stagings import Bench, bench

API = "/api/v1.0"
NOWHERE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        yield made


@pytest.fixture
def client(at: Bench) -> Iterator[testing.TestClient]:
    watch = Watch(at.database, threading.Semaphore(1), Shutdown())
    yield testing.TestClient(create_app(parts_of(at.service, watch)))
    watch.close()


def items(client: testing.TestClient, path: str, /, **query: str) -> list[Any]:
    """Return all items of a list, read in pages of two; assert that each appears once."""
    found: list[Any] = []
    while True:
        answer = client.simulate_get(f"{API}{path}", params={"limit": "2", **query})
        assert answer.status_code == 200, answer.text
        found += answer.json["items"]
        if answer.json["next"] is None:
            assert len({str(each) for each in found}) == len(found)
            return found
        query["after"] = answer.json["next"]


def failed(at: Bench, name: str) -> str:
    """Return a build whose staging failed because its suites file is not a tar."""
    url = at.build(name, suites_tgz=b"no tar at all")
    with pytest.raises(ArchiveCorrupt):
        at.stage(url, "suites")
    return url


def test_a_list_finds_an_archive_in_any_spelling(at: Bench, client: testing.TestClient) -> None:
    url = at.build("R1")
    at.stage(url)
    at.stage(at.build("R2"))
    other = url.replace("file:///", "FILE:///").replace("board", "b%6Fard") + "/"
    for path in ("/stagings", "/artifacts"):
        (right,) = {item["archive_url"] for item in items(client, path, archive_url=other)}
        assert right == url
        assert items(client, path, archive_url="no url") == []


#: Builds below each prefix.
BELOW = {
    "/board/R1": ["R1", "R1-2", "R10"],
    "/board/R1/": [],
    "/board/": ["R1", "R1-2", "R10", "R2", "r"],
    "/board": ["R1", "R1-2", "R10", "R2", "r"],
    "/boar": ["R1", "R1-2", "R10", "R2", "r"],
    "/board/R1-": ["R1-2"],
    "/nothing": [],
}


def test_a_prefix_finds_all_archives_that_begin_with_it_by_bytes(
    at: Bench, client: testing.TestClient
) -> None:
    urls = {name: at.build(name) for name in ("R2", "R10", "r", "R1", "R1-2")}
    for url in urls.values():
        at.stage(url, "payload")
    for ending, builds in BELOW.items():
        prefix = f"file://{at.builds}{ending}"
        listed = items(client, "/archives", prefix=prefix)
        assert [each["archive_url"] for each in listed] == [urls[name] for name in builds], ending
        for path in ("/stagings", "/artifacts"):
            found = {each["archive_url"] for each in items(client, path, prefix=prefix)}
            assert found == {urls[name] for name in builds}, (ending, path)


def test_an_archive_shows_what_is_there_of_it_and_when_it_was_last_asked_for(
    at: Bench, client: testing.TestClient
) -> None:
    url = at.build("R1")
    at.stage(url, "payload")
    newest = at.stage(url)
    (found,) = items(client, "/archives")
    size = sum(artifact.size_bytes or 0 for artifact in newest.artifacts)
    [(prefix,)] = at.rows("SELECT static_prefix FROM archives")
    assert (found["archive_url"], found["url"]) == (url, f"/static/{prefix}/")
    assert found["artifacts"] == {"missing": 1, "staged": 2}
    assert found["size_bytes"] == size
    assert (found["staging"]["id"], found["staging"]["state"]) == (newest.id, "staged")
    assert found["staging"]["caller"] == "tester"
    assert (found["pinned_until"], found["last_accessed_at"]) == (None, None)


def test_stagings_and_artifacts_are_found_by_their_error(
    at: Bench, client: testing.TestClient
) -> None:
    url = failed(at, "R1")
    at.stage(at.build("R2"))
    for path in ("/stagings", "/artifacts"):
        (found,) = items(client, path, error_code="archive_corrupt")
        assert (found["archive_url"], found["error"]["code"]) == (url, "archive_corrupt")
        (also,) = items(client, path, state="failed")
        assert also["id"] == found["id"]
        assert items(client, path, error_code="no_space") == []


def test_artifacts_are_found_by_digest_also_of_a_file_that_was_unpacked(
    at: Bench, client: testing.TestClient
) -> None:
    at.stage(at.build("R1"))
    at.stage(at.build("R2"))
    payload, control = b"payload of R1", b"control of R1"
    (found,) = items(client, "/artifacts", sha256=hashlib.sha256(payload).hexdigest().upper())
    assert (found["name"], found["size_bytes"]) == ("payload", len(payload))
    (suites,) = items(client, "/artifacts", sha256=hashlib.sha256(control).hexdigest())
    assert suites["name"] == "suites"
    assert items(client, "/artifacts", sha256="0" * 64) == []


@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("{}/payload.bin", ["payload"]),
        ("{}/payload.bin/", ["payload"]),
        ("/static/{}/payload.bin", ["payload"]),
        ("/static/{}/p%61yload.bin", ["payload"]),
        ("{}/suites/control", ["suites"]),
        ("{}", ["suites"]),
        ("/static/{}/", ["suites"]),
        ("{}/none", []),
    ],
)
def test_artifacts_are_found_by_path_with_and_without_slashes(
    at: Bench, client: testing.TestClient, path: str, names: list[str]
) -> None:
    at.stage(at.build("R1"), "payload", "suites")
    at.stage(at.build("R2"), "payload", "suites")
    found = items(client, "/artifacts", path=path.format(folder_of(at, "R1")))
    assert [each["name"] for each in found] == names
    assert {each["archive_url"].rpartition("/")[2] for each in found} <= {"R1"}


def folder_of(at: Bench, name: str) -> str:
    [(prefix,)] = at.rows(
        "SELECT static_prefix FROM archives WHERE archive_url LIKE :ending", ending=f"%/{name}"
    )
    return str(prefix)


def test_pinned_artifacts_are_listed_until_the_pin_is_over(
    at: Bench, client: testing.TestClient
) -> None:
    staging = at.stage(at.build("R1"), "payload", "suites")
    assert items(client, "/artifacts", pinned="true") == []
    pinned, over = (artifact.id for artifact in staging.artifacts)
    at.service.artifacts.pin(pinned, datetime.now(UTC) + timedelta(hours=1), ORIGIN)
    at.service.artifacts.pin(over, datetime.now(UTC) - timedelta(hours=1), ORIGIN)
    assert [each["id"] for each in items(client, "/artifacts", pinned="true")] == [pinned]


def test_events_of_all_stagings_come_once_each_and_in_order(
    at: Bench, client: testing.TestClient
) -> None:
    first, second = at.stage(at.build("R1")), at.stage(at.build("R2"))
    found = items(client, "/events")
    wanted = at.rows("SELECT id, staging_id, number FROM staging_events ORDER BY id")
    assert [(each["id"], each["staging_id"], each["number"]) for each in found] == wanted
    assert {each["staging_id"] for each in found} == {first.id, second.id}
    assert {each["holder"] for each in found} == {"this-process"}
    later = items(client, "/events", after=found[3]["id"])
    assert later == found[4:]
    assert items(client, "/events", after=found[-1]["id"]) == []


def test_events_are_filtered(at: Bench, client: testing.TestClient) -> None:
    at.stage(at.build("R1"))
    failed(at, "R2")
    states = {each["to_state"] for each in items(client, "/events", kind="staging")}
    assert states == {"queued", "running", "foreground_staged", "staged", "failed"}
    found = items(client, "/events", to_state="failed")
    assert {each["code"] for each in found} == {"archive_corrupt"}
    assert {each["kind"] for each in found} == {"staging", "artifact"}
    assert items(client, "/events", actor="nobody") == []
    assert items(client, "/events", since="2999-01-01T00:00:00Z") == []
    for since in ("2000-01-01T00:00:00Z", "1967-10-10T08:42:02-02:06"):
        assert len(items(client, "/events", since=since)) > 10


def test_a_page_of_few_events_leads_on_to_the_others(
    at: Bench, client: testing.TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_rows, "_LOOKED_AT", 3)
    at.stage(at.build("R1"))
    failed(at, "R2")
    empty = client.simulate_get(f"{API}/events?to_state=failed").json
    assert (empty["items"], empty["next"] is None) == ([], False)
    found = items(client, "/events", to_state="failed")
    assert [each["kind"] for each in found] == ["artifact", "staging"]


def test_an_event_waits_for_those_that_one_in_flight_may_precede(
    at: Bench, client: testing.TestClient
) -> None:
    """A reader that continues after the last event it has seen must not miss one."""
    early = at.stage(at.build("R1"), "payload")
    with at.database.begin() as slow:
        slow.execute(
            text("UPDATE stagings SET cancel_requested_at = now() WHERE id = :id"),
            {"id": early.id},
        )
        late = at.stage(at.build("R2"), "payload")
        seen = items(client, "/events")
        assert late.id not in {each["staging_id"] for each in seen}
    rest = items(client, "/events", after=seen[-1]["id"])
    assert [each["kind"] for each in rest if each["staging_id"] == early.id] == ["cancel_requested"]
    assert late.id in {each["staging_id"] for each in rest}


def test_the_start_says_what_it_is_and_links_lead_somewhere(client: testing.TestClient) -> None:
    start = client.simulate_get("/").json
    assert (start["name"], start["version"]) == ("staging_api", about.package_version())
    assert start["build"] == about.build()
    assert {
        name: client.simulate_get(path).status_code for name, path in start["links"].items()
    } == dict.fromkeys(start["links"], 200)


def test_me_names_the_caller_with_roles_and_permitted_calls(client: testing.TestClient) -> None:
    me = client.simulate_get(f"{API}/me").json
    assert me["name"] == "anonymous"
    assert me["roles"] == sorted(me["roles"])
    assert {"POST /api/v1.0/stagings", "DELETE /api/v1.0/locks/{lock_id}"} <= set(me["may"])


@pytest.mark.parametrize("name", ["full_payload", "no_such_name"])
def test_artifacts_of_a_name_come_in_order_from_an_index(database: Database, name: str) -> None:
    query = f"SELECT id FROM staged_artifacts WHERE name = '{name}' ORDER BY id DESC LIMIT 20"
    with database.begin() as conn, conn.begin_nested() as world:
        # With few rows other plans are as cheap, such as a scan by id until twenty rows are found.
        conn.execute(text("SET LOCAL enable_seqscan = off"))
        conn.execute(text("SET LOCAL enable_sort = off"))
        conn.execute(
            text("ALTER TABLE staged_artifacts DROP CONSTRAINT staged_artifacts_pkey CASCADE")
        )
        plan = "\n".join(conn.execute(text(f"EXPLAIN {query}")).scalars())
        world.rollback()
    assert "staged_artifacts_name_idx" in plan
    assert f"Index Cond: (name = '{name}'" in plan
