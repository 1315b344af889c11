"""Document posts that arrive in pieces, are too long, or meet a database outage: real sockets."""

import http.client
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from staging_api.db.engine import open_database
from tests.databases import Migrated
from tests.documents import API, document, policy, stream
from tests.proxy import proxied
from tests.rows import select
from tests.service import Pod, eventually, service

MOST = 5000
TEXT = stream(document("one"), policy())
LONG = stream(document("long", "x" * MOST), policy())


@dataclass(frozen=True)
class Recorded:
    """A response, received on a socket of its own."""

    status: int
    headers: Message
    body: bytes


@pytest.fixture(scope="module")
def short_pod(migrated: Migrated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """Yield a pod that accepts short collections only; a busy machine can renew its leases."""
    folder = tmp_path_factory.mktemp("faults")
    with migrated() as url:
        limits = {"documents_max_bytes": str(MOST), "lease_seconds": "30"}
        with service(folder, url, **limits) as made:
            yield made.api(1)[0]


@pytest.fixture
def pod(short_pod: Pod) -> Pod:
    """Return the pod, with an empty buffer."""
    assert send(short_pod, "DELETE", f"{API}/document-buffer").status == 200
    return short_pod


def send(pod: Pod, method: str, path: str, body: bytes | Iterable[bytes] | None = None) -> Recorded:
    """Send a request; a body in pieces is sent chunked."""
    chunked = not isinstance(body, bytes | None)
    headers = {"Transfer-Encoding": "chunked"} if chunked else {}
    line = http.client.HTTPConnection(urlsplit(pod.url).netloc, timeout=60)
    try:
        line.request(method, path, body, headers, encode_chunked=chunked)
        answer = line.getresponse()
        return Recorded(answer.status, answer.headers, answer.read())
    finally:
        line.close()


def failure(shown: Recorded) -> Any:
    """Return the response parsed as a Status, which clients of Shipyard expect."""
    document = json.loads(shown.body)
    assert (document["kind"], document["status"]) == ("status", "Failure")
    assert document["code"].startswith(f"{shown.status} ")
    assert document["message"]
    assert document["details"]["errorCount"] == 1
    assert "X-Shipyard-Req" in shown.headers
    return document


def post(pod: Pod, collection: str, body: bytes | Iterable[bytes]) -> Recorded:
    return send(pod, "POST", f"{API}/configdocs/{collection}?buffermode=append", body)


@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_a_chunked_body_is_the_collection_byte_for_byte(pod: Pod, size: int) -> None:
    post(pod, "other", stream(document("other")))
    pieces = (TEXT[place : place + size] for place in range(0, len(TEXT), size))
    assert post(pod, "a", pieces).status == 201
    assert send(pod, "GET", f"{API}/configdocs/a?version=buffer").body == TEXT
    other = send(pod, "GET", f"{API}/configdocs/other?version=buffer").body
    assert other == stream(document("other"))


def test_a_chunked_body_of_nothing_has_no_content(pod: Pod) -> None:
    shown = post(pod, "a", iter(()))
    assert shown.status == 400
    assert failure(shown)["message"] == "Content-Length is a required header"
    assert json.loads(send(pod, "GET", f"{API}/configdocs").body) == []


@pytest.mark.parametrize("chunked", [True, False])
def test_a_collection_that_is_too_long_is_refused_and_nothing_else(pod: Pod, chunked: bool) -> None:
    assert post(pod, "a", TEXT).status == 201
    shown = post(pod, "b", iter([LONG[:100], LONG[100:]]) if chunked else LONG)
    assert shown.status == 413
    assert str(MOST) in failure(shown)["reason"]
    assert [each["collection_name"] for each in json.loads(_status(pod))] == ["a"]
    # About one byte below the limit: accepted.
    fits = stream(document("fits", "x" * (MOST - len(stream(document("fits", ""))))))
    assert len(fits) <= MOST
    assert post(pod, "c", iter([fits]) if chunked else fits).status == 201


def test_without_a_database_every_path_answers_a_status(own_url: str, tmp_path: Path) -> None:
    with proxied(own_url) as proxy, service(tmp_path, proxy.url) as made:
        pod = made.api(1)[0]
        assert post(pod, "a", TEXT).status == 201
        proxy.close()
        for method, path, body in (
            ("POST", f"{API}/configdocs/b?buffermode=append", TEXT),
            ("POST", f"{API}/commitconfigdocs", b""),
            ("GET", f"{API}/configdocs", None),
            ("GET", f"{API}/configdocs/a?version=buffer", None),
            ("GET", f"{API}/renderedconfigdocs?version=buffer", None),
        ):
            shown = send(pod, method, path, body)
            assert shown.status == 503, path
            assert failure(shown)["retry"] is True
            assert int(shown.headers["Retry-After"]) > 0
        # Paths of this API use its own error format.
        shown = send(pod, "DELETE", f"{API}/document-buffer")
        assert (shown.status, json.loads(shown.body)["code"]) == (503, "unavailable")


def test_a_commit_is_undone_in_time_though_every_pod_died(own_url: str, tmp_path: Path) -> None:
    pools = open_database(own_url, pool_size=1)
    try:
        with service(tmp_path, own_url) as made:
            pod, _ = *made.api(1), made.worker()
            for collection, seconds in (("kept", ""), ("undone", "?confirm_within=3")):
                text = stream(document(collection), *([] if seconds else [policy()]))
                assert post(pod, collection, text).status == 201
                committed = send(pod, "POST", f"{API}/commitconfigdocs{seconds}")
                assert committed.status == 200
                assert (b"confirm_until" in committed.body) == bool(seconds)
            made.kill()
            # No pod runs any more; the deadline passes by the database's clock.
            eventually(lambda: bool(select(pools, _OVERDUE)), "the deadline does not pass")
            assert select(pools, _UNDONE) == []
            made.worker()
            eventually(lambda: bool(select(pools, _UNDONE)), "no worker undoes the commit")
            assert select(pools, _UNDONE) == [(2, 3)]
            later = made.api(1)[0]
            assert [each["collection_name"] for each in json.loads(_status(later))] == ["kept"]
            assert b"confirm_until" not in _status(later)
            kept = send(later, "GET", f"{API}/configdocs/kept?version=committed")
            assert b"name: kept" in kept.body
    finally:
        pools.close()


_OVERDUE = "SELECT 1 FROM document_commits WHERE confirm_until <= clock_timestamp()"
_UNDONE = "SELECT revision, undone_in FROM document_commits WHERE undone_in IS NOT NULL"


def _status(pod: Pod) -> bytes:
    return send(pod, "GET", f"{API}/configdocs").body
