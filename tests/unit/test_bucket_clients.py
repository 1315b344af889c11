"""Clients of a bucket: timeouts, retries and addresses for blobs, upkeep and links."""

import re
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from staging_api.errors import Invalid, NotFound, StoreFailed
from staging_api.store.bucket import Bucket
from staging_api.store.bucket_objects import BucketObjects
from staging_api.store.bucket_store import BucketStore

S3 = "s3://bucket/prefix?endpoint=http://inside:9000&region=here"
PUBLIC = f"{S3}&public_endpoint=https://outside"


@pytest.mark.parametrize(
    ("options", "public", "links"),
    [
        ("", "", True),
        ("&links=yes", "", True),
        ("&links=no", "", False),
        ("&public_endpoint=https://outside", "https://outside", True),
    ],
)
def test_an_address_says_where_a_bucket_is_and_what_clients_reach(
    options: str, public: str, links: bool
) -> None:
    where = {"endpoint": "http://inside:9000", "region": "here"}
    found = Bucket.parse(f"s3://bucket/a/prefix/?endpoint=http://inside:9000&region=here{options}")
    assert found == Bucket("s3", "bucket", "a/prefix", where, public, links)
    assert Bucket.parse("gs://other") == Bucket("gs", "other", "", {}, "", True)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://bucket", "must be a bucket of gs, s3, az"),
        ("s3://[bucket", "must be a bucket of gs, s3, az"),
        ("s3://", "may be left out"),
        ("s3:///prefix", "may be left out"),
        ("s3://bucket?endpiont=x", "may be left out"),
        ("s3://key:secret@bucket", "may be left out"),
        ("s3://bucket?links=maybe", "may be left out"),
        ("az://container", "must have [?]account="),
        ("az://container?account=", "must have [?]account="),
    ],
)
def test_an_address_that_is_none_of_a_bucket_is_refused(url: str, says: str) -> None:
    with pytest.raises(Invalid) as refused:
        Bucket.parse(url)
    assert re.search(says, refused.value.errors[0].message)
    assert Bucket.parse("az://container?account=a").where == {"account": "a"}


def test_a_blob_may_take_half_a_day_and_is_tried_four_times_again() -> None:
    client = Bucket.parse(S3).connect()
    asked = {"connect_timeout": "5s", "read_timeout": "30s", "timeout": "12h"}
    assert asked.items() <= dict(client.client_options or {}).items()
    retries = client.retry_config or {}
    assert (retries["max_retries"], retries["retry_timeout"]) == (4, timedelta(seconds=30))


def test_a_brief_request_is_over_in_four_seconds_and_not_tried_again() -> None:
    client = Bucket.parse(S3).connect(brief=True)
    asked = {"connect_timeout": "5s", "read_timeout": "4s", "timeout": "4s"}
    assert asked.items() <= dict(client.client_options or {}).items()
    assert (client.retry_config or {})["max_retries"] == 0


@pytest.mark.parametrize(
    ("url", "public", "endpoint"),
    [
        (S3, False, "http://inside:9000"),
        (S3, True, "http://inside:9000"),
        (PUBLIC, False, "http://inside:9000"),
        (PUBLIC, True, "https://outside"),
    ],
)
def test_only_links_lead_to_where_clients_reach_the_bucket(
    url: str, public: bool, endpoint: str
) -> None:
    client = Bucket.parse(url).connect(public=public) if public else Bucket.parse(url).connect()
    # The name depends on the version of the library.
    assert [value for name, value in client.config.items() if "endpoint" in name] == [endpoint]
    assert str(client.prefix) == "prefix"


class Asked:
    """Client that records requests, and finds nothing."""

    def __init__(self, patience: str, noted: list[str]) -> None:
        self._patience, self._noted = patience, noted

    def __getattr__(self, name: str) -> Callable[..., object]:
        def ask(*_given: object, **_chosen: object) -> object:
            self._noted.append(f"{name}, {self._patience}")
            raise FileNotFoundError

        return ask


@pytest.mark.parametrize(
    ("ask", "noted"),
    [
        (lambda objects: objects.head("key"), "head, patient"),
        (lambda objects: objects.head("key", brief=True), "head, brief"),
        (lambda objects: objects.read("key", 9, 0, 9), "get, patient"),
        (lambda objects: objects.upload("key", Path("file")), "put, patient"),
        (lambda objects: objects.copy("key", "aside"), "head, patient"),
        (lambda objects: list(objects.listed("prefix")), "list, patient"),
        (lambda objects: objects.put_marker(b"1", "create"), "put, patient"),
        (lambda objects: objects.check(), "list, patient"),
        (lambda objects: objects.delete_all(["key"]), "delete, brief"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_only_upkeep_asks_briefly(
    monkeypatch: pytest.MonkeyPatch, ask: Callable[[BucketObjects], object], noted: str
) -> None:
    asked = asked_from_here(monkeypatch)
    with suppress(NotFound, StoreFailed):
        ask(BucketObjects(Bucket.parse(S3)))
    assert asked == [noted]


def test_how_long_a_blob_was_not_used_is_asked_briefly_and_whether_it_is_there_is_not(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = asked_from_here(monkeypatch)
    store = BucketStore(Bucket.parse(S3), tmp_path)
    assert store.last_use("0" * 64) is None
    assert not store.has("0" * 64)
    assert store.find("0" * 64) is None
    assert asked == ["head, brief", "head, patient", "head, patient"]


def asked_from_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the addresses of buckets that are asked from now on, and the timeouts and retries."""
    asked: list[str] = []

    def connect(_bucket: Bucket, *, public: bool = False, brief: bool = False) -> Any:
        return Asked("public" if public else "brief" if brief else "patient", asked)

    monkeypatch.setattr(Bucket, "connect", connect)
    return asked
