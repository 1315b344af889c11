"""What cannot be done: refused with a status of its own, said how to do better, nothing half done."""

import bz2
import gzip
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, Objects, build, build_path, tar, with_manifest, zipped
from tests.rows import check_store, select, states, temporary_files
from tests.service import API, STAGINGS, Answer, Client, Pod, Service, eventually
from tests.source import ArchiveSource, Trick


def check_says_what_to_do(answer: Answer, status: int, code: str) -> None:
    """Fail unless it is a whole problem document; that its form is right, the client has checked."""
    assert answer.problem == (status, code)
    document = answer.json
    assert document["type"] == f"urn:staging-api:{code}"
    assert document["status"] == status
    assert document["request_id"] == answer.headers["X-Request-Id"]
    assert document["title"]
    assert document["detail"]
    assert ("Retry-After" in answer.headers) == document["retryable"]


def check_nothing_happened(rows: Database, before: list[tuple[int, ...]]) -> None:
    """Fail if a request that was refused as such left a row."""
    assert counted(rows) == before


def counted(rows: Database) -> list[tuple[int, ...]]:
    """How many rows the tables that requests write to have."""
    return select(
        rows,
        "SELECT (SELECT count(*) FROM stagings), (SELECT count(*) FROM archives),"
        " (SELECT count(*) FROM idempotency_keys)",
    )


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({}, "archive_url", "required"),
        ({"archive_url": ""}, "archive_url", "at least 1 character"),
        ({"archive_url": 7}, "archive_url", "string"),
        ({"archive_url": None}, "archive_url", "string"),
        ({"archive_url": "board/R17-1"}, "archive_url", "scheme://"),
        ({"archive_url": "ftp://host/board/R17-1"}, "archive_url", "the scheme must be one of"),
        ({"archive_url": "http://host"}, "archive_url", "a path must follow"),
        ({"archive_url": "http://host/../R17-1"}, "archive_url", ".."),
        ({"archive_url": "http://host/%2e%2e/R17-1"}, "archive_url", ".."),
        ({"archive_url": "http://host/a%2fb"}, "archive_url", "separator"),
        ({"archive_url": "http://me:word@host/R17-1"}, "archive_url", "user name or password"),
        ({"archive_url": "http://host/R17-1?x=1"}, "archive_url", "query"),
        ({"archive_url": "http://host/" + "a" * 2000}, "archive_url", "1024"),
        ({"archive_url": "gs://b/c/R1", "artifacts": ["ful_payload"]}, "artifacts", "full_payload"),
        ({"archive_url": "gs://b/c/R1", "artifacts": []}, "artifacts", "at least 1 item"),
        ({"archive_url": "gs://b/c/R1", "artifacts": "build"}, "artifacts", "list"),
        ({"archive_url": "gs://b/c/R1", "artifacts": [3]}, "artifacts.0", "string"),
        ({"archive_url": "gs://b/c/R1", "artefacts": ["build"]}, "artefacts", "not permitted"),
        (["gs://b/c/R1"], "body", "dict"),
        ("gs://b/c/R1", "body", "dict"),
        (None, "body", "dict"),
    ],
)
def test_a_wrong_field_is_named_with_what_would_be_right(
    client: Client, rows: Database, open_sources: Client, body: object, field: str, says: str
) -> None:
    before = counted(rows)
    answer = client.post(STAGINGS, body)
    check_says_what_to_do(answer, 400, "invalid_request")
    (error,) = answer.json["errors"]
    assert error["field"] == field
    assert says in error["message"]
    assert "word" not in error["message"].replace("password", "")
    check_nothing_happened(rows, before)
