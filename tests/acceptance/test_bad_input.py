"""Impossible requests: each is refused with its own status and a remedy, and has no effects."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from staging_api.db.engine import Database
from tests.builds import FULL_PAYLOAD, Objects, build, build_path, tar, with_manifest, zipped
from tests.rows import check_store, select, states, temporary_files
from tests.service import API, STAGINGS, Answer, Client, Service
from tests.source import ArchiveSource

NOWHERE = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
JSON = {"Content-Type": "application/json"}
URL = "gs://bucket/board/R17-1"


def check_says_what_to_do(answer: Answer, status: int, code: str) -> None:
    """Fail unless the problem is complete; the client has checked its form."""
    assert answer.problem == (status, code)
    document = answer.json
    assert document["type"] == f"urn:staging-api:{code}"
    assert document["status"] == status
    assert document["request_id"] == answer.headers["X-Request-Id"]
    assert len(document["detail"]) > 10
    assert ("Retry-After" in answer.headers) == document["retryable"]


def work_begun(rows: Database) -> Any:
    """Return the rows that every accepted request leaves behind."""
    return select(rows, "SELECT (SELECT count(*) FROM stagings), (SELECT count(*) FROM api_locks)")


WRONG_FIELDS: list[tuple[Any, str, str]] = [
    ({}, "archive_url", "is missing"),
    ({"archive_url": ""}, "archive_url", "at least 1 character"),
    ({"archive_url": 7}, "archive_url", "string"),
    ({"archive_url": None}, "archive_url", "string"),
    ({"archive_url": "board/R17-1"}, "archive_url", "scheme://"),
    ({"archive_url": "ftp://host/board/R17-1"}, "archive_url", "scheme must be one of"),
    ({"archive_url": "http://host"}, "archive_url", "a path must follow"),
    ({"archive_url": "http://host/../R17-1"}, "archive_url", "must not have . or .."),
    ({"archive_url": "http://host/%2e%2e/R17-1"}, "archive_url", "must not have . or .."),
    ({"archive_url": "http://host/a%2fb"}, "archive_url", "percent-encoded separator"),
    ({"archive_url": "http://me:secret@host/R1"}, "archive_url", "user name or password"),
    ({"archive_url": "gs://host/R17-1?x=1"}, "archive_url", "query"),
    ({"archive_url": "http://host/R\0"}, "archive_url", "control"),
    ({"archive_url": "http://host/" + "a" * 2000}, "archive_url", "1024"),
    ({"archive_url": URL, "artifacts": ["ful_payload"]}, "artifacts", "full_payload"),
    ({"archive_url": URL, "artifacts": []}, "artifacts", "at least 1 item"),
    ({"archive_url": URL, "artifacts": "build"}, "artifacts", "list"),
    ({"archive_url": URL, "artifacts": [3]}, "artifacts.0", "string"),
    ({"archive_url": URL, "artefacts": ["build"]}, "artefacts", "is not a field"),
    ([URL], "body", "must be a JSON object"),
    (URL, "body", "must be a JSON object"),
    (None, "body", "must be a JSON object"),
]


@pytest.mark.parametrize("wrong", WRONG_FIELDS)
def test_a_wrong_field_is_named_with_what_would_be_right(
    client: Client, listed: str, rows: Database, wrong: tuple[Any, str, str]
) -> None:
    body, field, advice = wrong
    if isinstance(body, dict) and body.get("archive_url") == URL:
        body = {**body, "archive_url": listed}
    before = work_begun(rows)
    answer = client.post(STAGINGS, body)
    check_says_what_to_do(answer, 400, "invalid_request")
    (error,) = answer.json["errors"]
    assert error["field"] == field
    assert advice in error["message"]
    assert b"secret" not in answer.body
    assert work_begun(rows) == before


@pytest.fixture
def listed(source: ArchiveSource) -> str:
    """Return an allowed archive URL at which no archive exists."""
    return f"{source.url}/{build_path()}"


def test_a_source_outside_the_list_is_refused(client: Client, rows: Database) -> None:
    before = work_begun(rows)
    for url in (URL, "file:///etc/passwd", "http://127.0.0.1:1/board/R17-1"):
        check_says_what_to_do(client.stage(url), 403, "source_not_allowed")
    assert work_begun(rows) == before


@pytest.mark.parametrize(
    ("body", "headers", "status", "code"),
    [
        (b"{", JSON, 400, "invalid_request"),
        (b"\xff\xfe", JSON, 400, "invalid_request"),
        (b"[" * 100_000, JSON, 400, "invalid_request"),
        (b"archive_url=gs://b/c/R1", {"Content-Type": "text/plain"}, 415, "unsupported_media_type"),
        (
            b"archive_url=gs://b/c/R1",
            {"Content-Type": "application/x-www-form-urlencoded"},
            415,
            "unsupported_media_type",
        ),
        (b" " * (4 << 20) + b"{}", JSON, 413, "limit_exceeded"),
        (b"{}", {**JSON, "X-Context-Marker": "me"}, 400, "invalid_request"),
        (b"{}", {**JSON, "Idempotency-Key": "k" * 300}, 400, "invalid_request"),
    ],
)
def test_a_request_that_cannot_be_read_is_refused(
    client: Client, body: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    # A connection of its own: a body that was not read ends it.
    answer = Client(client.url).send("POST", STAGINGS, body, headers)
    check_says_what_to_do(answer, status, code)


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", f"{API}/nothing", 404, "not_found"),
        ("GET", f"{STAGINGS}/%00", 404, "not_found"),
        ("GET", "/static/%00", 404, "not_found"),
        ("PUT", STAGINGS, 405, "method_not_allowed"),
        ("PATCH", "/static/board/update.gz", 405, "method_not_allowed"),
        ("GET", f"{STAGINGS}?limit=many", 400, "invalid_request"),
        ("GET", f"{STAGINGS}?after=before", 400, "invalid_request"),
        ("GET", f"{STAGINGS}?state=stagged", 400, "invalid_request"),
        ("GET", f"{STAGINGS}?since=2026-01-01T00:00:00", 400, "invalid_request"),
        ("GET", f"{STAGINGS}?since=0001-01-01T00:00:00%2B20:39", 400, "invalid_request"),
        ("GET", f"{STAGINGS}?caller=%00", 400, "invalid_request"),
        ("GET", f"{API}/locks?state=broken", 400, "invalid_request"),
        ("DELETE", f"{API}/locks/{NOWHERE}", 400, "invalid_request"),
    ],
)
def test_a_route_method_or_query_that_is_not_there_is_refused(
    client: Client, method: str, path: str, status: int, code: str
) -> None:
    check_says_what_to_do(client.send(method, path), status, code)


def with_tar(content: bytes) -> Objects:
    """Return a build with this content in place of its suites: not packed, despite its name."""
    return {**build(), "test_suites.tar.bz2": content}


def cut(objects: Objects, name: str) -> Objects:
    """Return a build with only the first half of an object."""
    return {**objects, name: objects[name][: len(objects[name]) // 2]}


def renamed_in(archive: bytes, old: str, new: str) -> bytes:
    """Return a zip with member names that `zipfile` would refuse to write."""
    assert len(old) == len(new)
    return archive.replace(old.encode(), new.encode())


MANY = {f"suite/{number}": b"suite" * 100 for number in range(50)}
BAD_ARCHIVES: dict[str, tuple[Callable[[], Objects], str, int, str]] = {
    "the archive is not there": (dict, "build", 404, "archive_not_found"),
    "an artifact is not in it": (
        lambda: {name: content for name, content in build().items() if name != FULL_PAYLOAD},
        "full_payload",
        404,
        "artifact_not_found",
    ),
    "cut tar.bz2": (
        lambda: cut(build(), "test_suites.tar.bz2"),
        "test_suites",
        502,
        "archive_corrupt",
    ),
    "cut tar": (lambda: with_tar(tar(MANY)[:9_999]), "test_suites", 502, "archive_corrupt"),
    "cut tar.gz": (lambda: cut(build(), "debug.tgz"), "symbols", 502, "archive_corrupt"),
    "cut zip": (lambda: cut(build(), "image.zip"), "images", 502, "archive_corrupt"),
    "no tar at all": (
        lambda: with_tar(b"try again later"),
        "test_suites",
        502,
        "archive_corrupt",
    ),
    "a web page": (
        lambda: with_tar(b"<html>try again later</html>"),
        "test_suites",
        502,
        "source_refused",
    ),
    "a wrong checksum": (
        lambda: with_tar(gzip.compress(tar(MANY))[:-8] + b"\0" * 8),
        "test_suites",
        502,
        "archive_corrupt",
    ),
    "a tar with ..": (
        lambda: with_tar(tar({"suite/control": b"x", "../../etc/passwd": b"root"})),
        "test_suites",
        422,
        "archive_unsafe",
    ),
    "a tar with an absolute name": (
        lambda: with_tar(tar({"suite/control": b"x", "/etc/passwd": b"root"})),
        "test_suites",
        422,
        "archive_unsafe",
    ),
    "a zip with ..": (
        lambda: {**build(), "image.zip": renamed_in(zipped({"aa/image": b"x"}), "aa/", "../")},
        "test_image",
        422,
        "archive_unsafe",
    ),
    "a manifest with ..": (
        lambda: {**build(), "UPLOADED": b"../../secret_full_\n"},
        "full_payload",
        422,
        "archive_unsafe",
    ),
}


@pytest.mark.parametrize("wrong", BAD_ARCHIVES)
def test_an_archive_that_is_not_as_it_should_be_is_refused_and_nothing_of_it_is_served(
    client: Client, cluster: Service, source: ArchiveSource, rows: Database, wrong: str
) -> None:
    make, wanted, status, code = BAD_ARCHIVES[wrong]
    objects, path = make(), build_path()
    if objects and "manifest" not in wrong:
        objects = with_manifest({name: objects[name] for name in objects})
    url = source.add(path, objects)
    check_says_what_to_do(client.stage(url, wanted), status, code)
    check_nothing_half_done(client, cluster, rows, url, path)


def check_nothing_half_done(
    client: Client, cluster: Service, rows: Database, url: str, path: str
) -> None:
    """Fail if a row claims missing content, a file is served, or partial bytes are left."""
    found = states(rows, url)
    assert "failed" in found.values()
    # Missing: an optional one that test_suites brings, and that no build here has.
    assert set(found.values()) <= {"failed", "pending", "missing"}
    (staging,) = client.get(f"{STAGINGS}?archive_url={url}").json["items"]
    assert staging["state"] == "failed"
    files = "SELECT count(*) FROM staged_files WHERE path LIKE :p"
    assert select(rows, files, p=f"%{path}%") == [(0,)]
    assert client.get(f"/static/{path}/update.gz").status == 404
    assert temporary_files(cluster.store) == []
    check_store(rows, cluster.store)
    held = "SELECT 1 FROM lock_scopes WHERE scope = :u AND lock_id IS NOT NULL"
    assert select(rows, held, u=url) == []


def test_an_unsafe_member_name_is_escaped_in_the_problem(
    client: Client, source: ArchiveSource
) -> None:
    url = source.add(build_path(), with_manifest(with_tar(tar({"../\x1b[2J": b"x"}))))
    answer = client.stage(url, "test_suites")
    check_says_what_to_do(answer, 422, "archive_unsafe")
    assert "\x1b" not in json.loads(answer.body)["detail"]


@pytest.mark.parametrize(
    "path",
    [
        "/latestbuild?target=x%00y",
        "/latestbuild?target=x&milestone=%00",
        "/controlfiles?build=x%00y",
        "/controlfiles?build=x/y&control_path=%00",
        "/controlfiles?build=x/y&suite_name=%00",
        "/list_suite_controls?build=%00",
        "/list_image_dir?archive_url=http://h/x%00",
        "/is_staged?archive_url=http://h/x&artifacts=a%00",
        "/extract/bucket/a.tar?file=%00",
        f"{STAGINGS}?caller=%00",
        f"{API}/apt-archives/x/packages?suite=%00",
        f"{API}/distributions/x/files?after=%00",
        "/static/folder/?after=%00",
        f"{STAGINGS}/{NOWHERE}/events?after=%00",
    ],
)
def test_a_nul_in_the_query_is_refused_by_the_name_of_its_field(client: Client, path: str) -> None:
    refused = client.send("GET", path)
    field = path.rpartition("?")[2].rpartition("&")[2].partition("=")[0]
    assert refused.status == (400 if path.startswith((API, "/static", "/extract")) else 500)
    assert f"{field}: must not contain a NUL character".encode() in refused.body or (
        field.encode() in refused.body and b"must not contain a NUL" in refused.body
    )


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "SCRIPT-NAME", "PATH_INFO", "REMOTE_USER"])
def test_a_header_does_not_rewrite_the_request(client: Client, name: str) -> None:
    # From loopback, whose proxies gunicorn would believe.
    answer = client.send("GET", f"{STAGINGS}?limit=1", None, {name: "/api"})
    assert answer.status == 200
    assert client.send("GET", "/livez", None, {name: "/x"}).status == 200


def test_staged_files_are_not_readable_by_other_users_of_the_machine(
    client: Client, cluster: Service, source: ArchiveSource
) -> None:
    url = source.add(build_path(), build())
    assert client.stage(url, "stateful", "test_suites", "symbols").status == 201
    found = [cluster.store, *cluster.store.rglob("*")]
    assert len(found) > 5
    assert [path for path in found if path.stat().st_mode & 0o007] == []


@pytest.mark.parametrize("number", ["-1", str(1 << 63), "-65821845384210243584", "9" * 400])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/apt-archives/debian/packages/{}"),
        ("GET", "/document-revisions/{}"),
        ("POST", "/document-revisions/{}/rollback"),
    ],
)
def test_a_number_that_no_row_can_have_is_not_found(
    client: Client, method: str, path: str, number: str
) -> None:
    answer = client.send(method, API + path.format(number), b"{}", JSON)
    check_says_what_to_do(answer, 404, "not_found")
