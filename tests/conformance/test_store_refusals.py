"""Refusals of stores: error class, remedy, and whether a retry may succeed."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.errors import NoSpace, StagingApiError, StoreFailed
from staging_api.store import bucket
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import Blob
from staging_api.store.opening import open_store
from tests.buckets import new_bucket, s3_server
from tests.faulty_bucket import Fault, FaultyBucket, faulty_bucket
from tests.stores import blobs_of


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with s3_server() as found:
        yield found


@pytest.fixture
def proxy(endpoint: str) -> Iterator[FaultyBucket]:
    with faulty_bucket(endpoint) as made:
        yield made


@pytest.fixture
def store(
    endpoint: str, proxy: FaultyBucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> BlobStore:
    monkeypatch.setitem(bucket._RETRIES, "max_retries", 1)
    url = new_bucket(endpoint)
    return open_store(url.replace(endpoint, proxy.endpoint), tmp_path / "home")


def keep(store: BlobStore, content: bytes = b"content") -> Blob:
    with store.batch("worker-1") as batch:
        blob = batch.keep([content])
        batch.commit()
    return blob


@pytest.mark.parametrize(
    "case",
    [
        (403, "AccessDenied", "store_denied", False, "policy"),
        (403, "InvalidAccessKeyId", "store_denied", False, "credential"),
        (403, "SignatureDoesNotMatch", "store_denied", False, "credential"),
        (401, "Unauthorized", "store_denied", False, "credential"),
        (403, "RequestTimeTooSkewed", "store_clock_skew", False, "clock"),
        (400, "ExpiredToken", "store_credential_expired", True, "renew"),
        (403, "ExpiredToken", "store_credential_expired", True, "renew"),
        (403, "AuthorizationPermissionMismatch", "store_denied", False, "policy"),
        (403, "AuthenticationFailed", "store_denied", False, "credential"),
        (409, "PublicAccessNotPermitted", "store_denied", False, "credential"),
        (409, "BlobImmutableDueToPolicy", "store_read_only", True, "read-only"),
        (404, "ContainerNotFound", "store_failed", True, "is not there"),
        (503, "ServerBusy", "store_throttled", True, "limits"),
        (503, "SlowDown", "store_throttled", True, "limits"),
        (429, "TooManyRequests", "store_throttled", True, "limits"),
        (405, "MethodNotAllowed", "store_read_only", True, "read-only"),
        (507, "XMinioStorageFull", "no_space", True, "quota"),
        (403, "QuotaExceeded", "no_space", True, "quota"),
        (500, "InternalError", "store_failed", True, ""),
        (503, "ServiceUnavailable", "store_failed", True, ""),
    ],
)
def test_a_buckets_refusal_is_named(
    store: BlobStore, proxy: FaultyBucket, case: tuple[int, str, str, bool, str]
) -> None:
    status, code, name, retryable, cure = case
    blob = keep(store)
    proxy.fault_of = lambda method, _: Fault(status, code) if method == "PUT" else None
    with pytest.raises(StagingApiError) as refused:  # noqa: PT011 - its code is compared
        keep(store, b"other")
    assert (refused.value.code, refused.value.retryable) == (name, retryable)
    assert cure in refused.value.detail
    proxy.behave()
    assert keep(store) == blob


def test_the_reason_of_a_refused_head_is_fetched_by_get(
    store: BlobStore, proxy: FaultyBucket
) -> None:
    blob = keep(store)
    for code, name in (
        ("AccessDenied", "store_denied"),
        ("RequestTimeTooSkewed", "store_clock_skew"),
        ("ExpiredToken", "store_credential_expired"),
    ):
        proxy.refuse(403, code)
        for ask in (store.has, store.find, store.open, store.last_use):
            with pytest.raises(StoreFailed) as refused:
                ask(blob.sha256)
            assert refused.value.code == name
        with pytest.raises(StoreFailed) as refused:
            store.link(blob.sha256, blob.size_bytes)
        assert refused.value.code == name
        with pytest.raises(StoreFailed) as refused:
            blobs_of(store)
        assert refused.value.code == name


@pytest.mark.parametrize(("status", "code"), [(501, "NotImplemented"), (400, "MalformedXML")])
def test_where_a_service_cannot_delete_many_each_is_deleted_by_itself(
    store: BlobStore, proxy: FaultyBucket, status: int, code: str
) -> None:
    blobs = [keep(store, b"%d" % number) for number in range(4)]
    kept = keep(store)
    stuck = blobs[0].sha256

    def fault(method: str, path: str) -> Fault | None:
        if method == "POST":
            return Fault(status, code)
        return Fault(403, "AccessDenied") if method == "DELETE" and stuck in path else None

    proxy.fault_of = fault
    failed = store.remove_all([blob.sha256 for blob in blobs])
    assert {sha256: error.code for sha256, error in failed.items()} == {stuck: "store_denied"}
    proxy.behave()
    assert {blob for blob, _ in blobs_of(store)} == {kept, blobs[0]}


def test_many_are_deleted_by_one_request_where_the_service_can(
    store: BlobStore, proxy: FaultyBucket
) -> None:
    blobs = [keep(store, b"%d" % number) for number in range(9)]
    proxy.requests.clear()
    assert store.remove_all([blob.sha256 for blob in blobs]) == {}
    assert (len(proxy.asked("POST")), proxy.asked("DELETE")) == (1, [])


@pytest.mark.parametrize(
    ("number", "name", "retryable"),
    [
        (errno.ENOSPC, "no_space", True),
        (errno.EDQUOT, "no_space", True),
        (errno.EACCES, "store_denied", False),
        (errno.EPERM, "store_denied", False),
        (errno.EROFS, "store_read_only", True),
        (errno.EIO, "store_failed", True),
        (errno.ESTALE, "store_failed", True),
        (errno.ENOTCONN, "store_failed", True),
    ],
)
def test_a_disks_refusal_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, name: str, retryable: bool
) -> None:
    store = open_store(f"file://{tmp_path}/store", tmp_path)
    blob = keep(store)

    def refuses(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    for place in ("mkdir", "write", "replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, place, refuses)
            with pytest.raises((StoreFailed, NoSpace)) as refused:
                keep(store, b"other")
        assert (refused.value.code, refused.value.retryable) == (name, retryable), place
    assert store.has(blob.sha256, blob.size_bytes)


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
def test_an_unreadable_disk_has_lost_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    store = open_store(f"file://{tmp_path}/store", tmp_path)
    blob = keep(store)

    def refuses(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "lstat", refuses)
    monkeypatch.setattr(os, "open", refuses)
    for ask in (store.has, store.find, store.open):
        with pytest.raises(StoreFailed):
            ask(blob.sha256)
    with pytest.raises(StoreFailed):
        store.lacks({blob.sha256: blob.size_bytes})
