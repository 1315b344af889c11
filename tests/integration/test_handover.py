"""Bytes sent by a proxy on behalf of the service: permitted files, and headers set by the proxy."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import cast

import pytest
from falcon.testing import Result, TestClient

from staging_api.db.engine import Database
from staging_api.http.app import create_app
from staging_api.http.handover import Sender
from staging_api.shutdown import Shutdown
from staging_api.staging.watch import Watch
from tests.parts import parts_of
from tests.stagings import Bench, bench, packed

CONTENT = bytes(range(256)) * 800
PAYLOAD = "/static/board/R17-1/payload.bin"
MEMBERS = {f"suites/{number:02}": f"member {number}".encode() * 9 for number in range(40)}
OTHER = f'"{"0" * 64}"'
YEARS_AGO = "Sat, 01 Jan 2000 00:00:00 GMT"


@pytest.fixture
def at(database: Database, database_url: str, tmp_path: Path) -> Iterator[Bench]:
    with bench(database, database_url, tmp_path) as made:
        made.stage(made.build(payload_bin=CONTENT, suites_tgz=packed(MEMBERS)), "payload", "suites")
        yield made


def served(at: Bench, accel_prefix: str) -> TestClient:
    parts = parts_of(at.service, Watch(at.database, threading.Semaphore(1), Shutdown()))
    sender = Sender(parts.sender.blobs, parts.sender.noticed, accel_prefix)
    return TestClient(create_app(replace(parts, sender=sender)))


@pytest.fixture
def client(at: Bench) -> TestClient:
    """Return a service behind nginx, whose location /store/ is the folder of the store."""
    return served(at, "/store/")


def get(client: TestClient, path: str = PAYLOAD, **headers: str) -> Result:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.simulate_get(path, headers=named)


def digest(at: Bench, path: str = PAYLOAD) -> str:
    [(found,)] = at.rows(
        "SELECT sha256 FROM staged_files WHERE path = :p", p=path.removeprefix("/static/")
    )
    return str(found)


def test_the_proxy_gets_the_place_of_the_file_and_cuts_ranges_itself(
    at: Bench, client: TestClient
) -> None:
    sha256 = digest(at)
    etag = f'"{sha256}"'
    for headers in ({}, {"Range": "bytes=5-9"}, {"Range": "bytes=5-9", "If_Range": etag}):
        answer = get(client, **headers)
        assert (answer.status_code, answer.content) == (200, b"")
        place = answer.headers["x-accel-redirect"]
        assert place == f"/store/sha256/{sha256[:2]}/{sha256}"
        assert (at.store / place.removeprefix("/store/")).read_bytes() == CONTENT
        assert answer.headers["etag"] == etag
        assert not {"content-range", "accept-ranges"} & answer.headers.keys()


def test_conditional_requests_that_the_proxy_cannot_decide_are_answered_by_the_service(
    at: Bench, client: TestClient
) -> None:
    etag = f'"{digest(at)}"'
    for headers in (
        {"If_Match": etag},
        {"If_Modified_Since": YEARS_AGO},
        {"If_Unmodified_Since": format_datetime(tomorrow(at), usegmt=True)},
        # A range of another version: the response is the whole current file.
        {"Range": "bytes=5-9", "If_Range": OTHER},
    ):
        answer = get(client, **headers)
        assert (answer.status_code, answer.content) == (200, CONTENT), headers
        assert "x-accel-redirect" not in answer.headers
        assert answer.headers["accept-ranges"] == "bytes"
    # For an unknown form of range, the proxy may also send the whole file.
    assert "x-accel-redirect" in get(client, Range="lines=1-2").headers
    assert "x-accel-redirect" in get(client, If_Range=OTHER).headers


def tomorrow(at: Bench) -> datetime:
    [(time,)] = at.rows("SELECT clock_timestamp() + interval '1 day'")
    return cast("datetime", time).astimezone(UTC)


def test_a_member_of_a_pack_is_sent_from_here(at: Bench, client: TestClient) -> None:
    [(packs,)] = at.rows("SELECT count(*) FROM packs")
    assert packs == 1
    for name, content in MEMBERS.items():
        answer = get(client, f"/static/board/R17-1/{name}")
        assert (answer.status_code, answer.content) == (200, content)
        assert "x-accel-redirect" not in answer.headers


@pytest.mark.parametrize("accel_prefix", ["", "/store/"])
def test_a_file_that_is_lost_is_not_described_and_its_neighbours_are_sent(
    at: Bench, accel_prefix: str
) -> None:
    client, sha256 = served(at, accel_prefix), digest(at)
    (at.store / "sha256" / sha256[:2] / sha256).unlink()
    for headers in ({}, {"Range": "bytes=5-9"}):
        lost = get(client, **headers)
        assert (lost.status_code, lost.json["code"]) == (404, "not_found")
        described = {"etag", "last-modified", "repr-digest", "content-range", "accept-ranges"}
        assert not {*described, "x-accel-redirect"} & lost.headers.keys()
        assert lost.headers.get("cache-control") != "no-cache"
    assert get(client, "/static/board/R17-1/suites/07").content == MEMBERS["suites/07"]


@pytest.mark.parametrize(
    ("first", "last"),
    [(0, 9), (70_000, 70_009), (1, 65_536), (139_263, 204_799), (139_264, 204_799)],
)
def test_without_a_proxy_each_range_comes_from_here_short_or_long(
    at: Bench, first: int, last: int
) -> None:
    answer = get(served(at, ""), Range=f"bytes={first}-{last}")
    assert (answer.status_code, answer.content) == (206, CONTENT[first : last + 1])
    assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(CONTENT)}"
