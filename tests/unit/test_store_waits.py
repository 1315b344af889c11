"""Retry-After of a store's refusal: short if it is busy, longer for a wrong credential."""

import errno
import re
from pathlib import Path

import pytest

from staging_api.errors import StagingApiError, StoreDenied, StoreFailed
from staging_api.store.bucket_objects import _request
from staging_api.store.disk import disk_failures
from staging_api.store.folder_store import FolderStore
from staging_api.store.parts import PartStore
from staging_api.store.refusals import refusal


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        ("<Code>ExpiredToken</Code>", 30),
        ("<Code>SlowDown</Code>", 10),
        ("status code: 429 too many", 10),
        ("status code: 500 nothing known", 10),
        ("<Code>AccessDenied</Code>", None),
    ],
)
def test_a_bucket_is_asked_again_when_that_may_help(answer: str, seconds: float | None) -> None:
    assert refusal(answer).retry_after_seconds == seconds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "HTTP error: dns error",
            "the object store failed: its address has a host of no known name",
        ),
        (
            "InvalidCertificate(UnknownIssuer)",
            "has no valid certificate for its name: UnknownIssu",
        ),
        ("HTTP InvalidContentType", "did not answer in TLS"),
        (
            'error: "tls handshake eof"',
            "cut the connection while TLS was agreed on: its address may",
        ),
        (
            "GET http://169.254.169.254/x: status code: 403",
            "no credential is set, and this machine",
        ),
        ("<Code>PermanentRedirect</Code>", "in another region than STAGING_STORE or AWS_REGION"),
        ("status code: 500 secret <Code>Odd</Code>", "it answered 500 Odd"),
        ("secret", "it did not answer [(]GenericError"),
    ],
)
def test_a_store_says_what_a_source_would_of_the_same_failure(text: str, words: str) -> None:
    failed = refusal(text, "GenericError")
    assert re.search(words, failed.detail)
    assert "secret" not in failed.detail


def test_a_bucket_that_does_not_answer_is_asked_again_in_ten_seconds() -> None:
    with pytest.raises(StoreFailed) as failed:
        _request("HEAD", "http://127.0.0.1:1/")
    assert failed.value.retry_after_seconds == 10


@pytest.mark.parametrize(
    ("number", "kind", "seconds"),
    [(errno.EIO, StoreFailed, 10), (errno.EACCES, StoreDenied, None)],
)
def test_a_disk_that_does_not_answer_is_asked_again_in_ten_seconds(
    tmp_path: Path, number: int, kind: type[StagingApiError], seconds: float | None
) -> None:
    with pytest.raises(kind) as failed, disk_failures(tmp_path):
        raise OSError(number, "x")
    assert failed.value.retry_after_seconds == seconds


def test_a_volume_that_is_not_mounted_is_looked_for_again_in_ten_seconds(tmp_path: Path) -> None:
    (tmp_path / "store-id").touch()
    with pytest.raises(StoreFailed) as failed:
        FolderStore(tmp_path).identity()
    assert failed.value.retry_after_seconds == 10


def test_a_part_that_was_cut_is_fetched_again_in_a_second(tmp_path: Path) -> None:
    store = PartStore(tmp_path)
    with store.open("version", 9) as first:
        first.write(0, b"content..")
        first.note([(0, 9)])
    with store.open("version", 9) as second:
        earlier = second.resumed_range_at(0)
        assert earlier is not None
        first.path.write_bytes(b"con")
        with pytest.raises(StoreFailed) as failed:
            list(second.read(earlier, 0, 9))
    assert failed.value.retry_after_seconds == 1
