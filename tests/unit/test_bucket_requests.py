"""Requests that the service itself makes to a bucket: retries, lifetimes, trusted responses."""

import logging
import socket
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import obstore
import pytest
from obstore.exceptions import PermissionDeniedError

from staging_api.errors import StagingApiError, StoreClockSkew, StoreFailed
from staging_api.store import bucket_objects
from staging_api.store.blobs import MARKER
from staging_api.store.bucket import Bucket
from staging_api.store.bucket_objects import BucketObjects, _request, _version

S3 = "s3://bucket/prefix?region=here"
INSIDE = f"{S3}&endpoint=http://inside:9000"
Signed = list[tuple[str, str, timedelta]]


@pytest.fixture
def signed(monkeypatch: pytest.MonkeyPatch) -> Signed:
    """Record what is signed: method, key and lifetime."""
    found: Signed = []

    def sign(_client: object, method: str, key: str, life: timedelta) -> str:
        found.append((method, key, life))
        return f"http://signed/{key}"

    monkeypatch.setattr(obstore, "sign", sign)
    return found


def answered(monkeypatch: pytest.MonkeyPatch, status: int, **headers: str) -> list[str]:
    """Answer each request with this status; return the requested addresses."""
    asked: list[str] = []

    def request(_method: str, url: str) -> Any:
        asked.append(url)
        return SimpleNamespace(status=status, headers=headers, data=b"")

    monkeypatch.setattr(bucket_objects, "_request", request)
    return asked


@pytest.mark.parametrize("status", [200, 202, 204, 404])
def test_an_object_is_deleted_by_an_address_that_holds_for_a_minute(
    monkeypatch: pytest.MonkeyPatch, signed: Signed, status: int
) -> None:
    asked = answered(monkeypatch, status)
    BucketObjects(Bucket.parse(S3)).delete("key")
    assert asked == ["http://signed/key"]
    assert signed == [("DELETE", "key", timedelta(minutes=1))]


@pytest.mark.parametrize(
    ("status", "code"), [(403, "store_denied"), (405, "store_read_only"), (500, "store_failed")]
)
@pytest.mark.usefixtures("signed")
def test_an_object_that_is_not_deleted_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, status: int, code: str
) -> None:
    answered(monkeypatch, status)
    with pytest.raises(StagingApiError) as refused:  # noqa: PT011 - its code is compared
        BucketObjects(Bucket.parse(S3)).delete("key")
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("url", "asked", "signs"),
    [
        (INSIDE, "http://inside:9000/bucket", []),
        (S3, f"http://signed/{MARKER}", [("HEAD", MARKER, timedelta(minutes=1))]),
        ("gs://two words", "https://storage.googleapis.com/two%20words", []),
    ],
)
def test_the_time_is_asked_where_anyone_may_ask_or_else_by_an_address_that_is_signed(
    monkeypatch: pytest.MonkeyPatch, signed: Signed, url: str, asked: str, signs: Signed
) -> None:
    found = answered(monkeypatch, 403, Date=formatdate(12345))
    objects = BucketObjects(Bucket.parse(url))
    assert objects.time() == 12345
    assert (found, signed) == ([asked], signs)


def test_where_answers_have_no_date_the_time_is_that_of_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answered(monkeypatch, 200)
    monkeypatch.setattr(time, "time", lambda: 77.0)
    assert BucketObjects(Bucket.parse(INSIDE)).time() == 77.0


@pytest.mark.parametrize(
    ("answer", "fails"),
    [
        (b"", True),
        (b"HTTP/1.1 307 x\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n", False),
    ],
    ids=["hangs up", "leads elsewhere"],
)
def test_a_request_is_made_once(answer: bytes, fails: bool) -> None:
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    came.append(connection.recv(1000).split(b" ")[1])
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/asked"
        if fails:
            with pytest.raises(StoreFailed, match="did not answer"):
                _request("HEAD", url)
        else:
            assert _request("HEAD", url).status == 307
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert came == [b"/asked"]


@pytest.mark.parametrize(
    ("url", "ahead", "is_given"),
    [
        *((S3, seconds, True) for seconds in (-29, 29)),
        *((S3, seconds, False) for seconds in (-31, 31)),
        *(("az://c?account=a", seconds, abs(seconds) < 2) for seconds in (-3, -1, 1, 3)),
    ],
)
@pytest.mark.usefixtures("signed")
def test_that_there_are_no_links_because_of_the_clock_is_said_in_the_log(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    url: str,
    ahead: float,
    is_given: bool,
) -> None:
    monkeypatch.setattr(BucketObjects, "time", lambda _self: time.time() + ahead)
    with caplog.at_level(logging.WARNING):
        link = BucketObjects(Bucket.parse(url)).link("key")
    assert (link == "http://signed/key") == is_given
    said = [f"no links: the clock of the bucket is {ahead} s ahead of ours"]
    assert [record.getMessage() for record in caplog.records] == ([] if is_given else said)


class Told:
    """Client that records its calls, and may refuse."""

    def __init__(self, refusals: dict[str, str]) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._refusals = refusals

    def __getattr__(self, name: str) -> Callable[..., object]:
        def tell(*given: Any, **chosen: Any) -> None:
            self.told.append((name, *given, chosen))
            if name in self._refusals:
                raise PermissionDeniedError(self._refusals[name])

        return tell


def of(client: Told, monkeypatch: pytest.MonkeyPatch) -> BucketObjects:
    monkeypatch.setattr(Bucket, "connect", lambda *_given, **_chosen: client)
    return BucketObjects(Bucket.parse(S3))


def test_for_the_reason_of_a_refused_head_one_byte_is_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Told({"head": "", "get_range": "<Code>RequestTimeTooSkewed</Code>"})
    head = "status code: 403"
    client._refusals["head"] = head
    with pytest.raises(StoreClockSkew):
        of(client, monkeypatch).head("key")
    assert client.told == [("head", "key", {}), ("get_range", "key", {"start": 0, "end": 1})]


def test_a_file_is_uploaded_in_parts_of_eight_mebibytes_four_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Told({})
    of(client, monkeypatch).upload("key", Path("file"))
    how = {"chunk_size": 8 << 20, "max_concurrency": 4}
    assert client.told == [("put", "key", Path("file"), how)]


def test_a_marker_is_put_in_one_part_since_only_that_is_refused_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = Told({})
    of(client, monkeypatch).put_marker(b"1", "create")
    assert client.told == [("put", MARKER, b"1", {"mode": "create", "use_multipart": False})]


@pytest.mark.parametrize(
    ("generation", "version"), [(None, {"e_tag": "a"}), ("7", {"e_tag": "a", "version": "7"})]
)
def test_a_version_has_its_generation_where_there_are_such(
    generation: str | None, version: dict[str, str]
) -> None:
    found: Any = {"e_tag": "a", "version": generation}
    assert _version(found) == version
