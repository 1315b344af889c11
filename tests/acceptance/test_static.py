"""Staged files over HTTP: whole, in ranges, and conditionally by version or time."""

import base64
import hashlib
from datetime import timedelta
from email.utils import format_datetime, parsedate_to_datetime

import pytest

from tests.builds import FULL_PAYLOAD, build, build_path
from tests.service import Client
from tests.source import ArchiveSource

CONTENT = build()[FULL_PAYLOAD]
SIZE = len(CONTENT)
ETAG = f'"{hashlib.sha256(CONTENT).hexdigest()}"'
OTHER = f'"{"0" * 64}"'


@pytest.fixture(scope="module")
def path() -> str:
    """Return the path of this module's build."""
    return build_path()


@pytest.fixture
def url(client: Client, source: ArchiveSource, path: str) -> str:
    """Return the URL of a staged file with `CONTENT`."""
    assert client.stage(source.add(path, build()), "full_payload").status in {200, 201}
    return f"/static/{path}/update.gz"


def test_the_whole_file_with_its_digest(client: Client, url: str) -> None:
    got = client.get(url)
    assert (got.status, got.body) == (200, CONTENT)
    assert got.headers["ETag"] == ETAG
    digest = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
    assert got.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert got.headers["Accept-Ranges"] == "bytes"
    assert got.headers["Content-Length"] == str(SIZE)
    assert "Content-Encoding" not in got.headers


def test_head_has_the_headers_of_get_without_the_bytes(client: Client, url: str) -> None:
    whole, head = client.get(url), client.send("HEAD", url)
    assert (head.status, head.body) == (200, b"")
    for name in ("ETag", "Last-Modified", "Content-Length", "Content-Type", "Accept-Ranges"):
        assert head.headers[name] == whole.headers[name]


@pytest.mark.parametrize(
    ("asked", "first", "last"),
    [
        ("bytes=0-15", 0, 15),
        ("bytes=100000-", 100_000, SIZE - 1),
        ("bytes=-500", SIZE - 500, SIZE - 1),
        (f"bytes={SIZE - 1}-{SIZE * 2}", SIZE - 1, SIZE - 1),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
    ],
)
def test_a_range_of_it(client: Client, url: str, asked: str, first: int, last: int) -> None:
    got = client.get(url, Range=asked)
    assert (got.status, got.body) == (206, CONTENT[first : last + 1])
    assert got.headers["Content-Range"] == f"bytes {first}-{last}/{SIZE}"
    assert got.headers["ETag"] == ETAG


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE * 2}-{SIZE * 3}", "bytes=-0"])
def test_a_range_outside_of_it_is_416(client: Client, url: str, asked: str) -> None:
    got = client.get(url, Range=asked)
    assert (got.status, got.headers["Content-Range"]) == (416, f"bytes */{SIZE}")


@pytest.mark.parametrize("asked", ["bytes=0-1,5-6", "bytes=9-2", "lines=1-2", "bytes=a-b"])
def test_a_range_header_that_is_no_single_range_gets_the_whole_file(
    client: Client, url: str, asked: str
) -> None:
    got = client.get(url, Range=asked)
    assert (got.status, got.body) == (200, CONTENT)


@pytest.mark.parametrize(("known", "status"), [(ETAG, 206), (OTHER, 200), (f"W/{ETAG}", 200)])
def test_if_range_continues_only_the_same_file(
    client: Client, url: str, known: str, status: int
) -> None:
    got = client.get(url, Range="bytes=10-19", If_Range=known)
    assert (got.status, len(got.body)) == (status, 10 if status == 206 else SIZE)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"If_None_Match": ETAG}, 304),
        ({"If_None_Match": f"{OTHER}, W/{ETAG}"}, 304),
        ({"If_None_Match": "*"}, 304),
        ({"If_None_Match": OTHER}, 200),
        ({"If_Match": ETAG}, 200),
        ({"If_Match": OTHER}, 412),
        ({"If_Match": f"W/{ETAG}"}, 412),
    ],
)
def test_conditions_on_the_version(
    client: Client, url: str, headers: dict[str, str], status: int
) -> None:
    got = client.get(url, **headers)
    assert (got.status, len(got.body)) == (status, SIZE if status == 200 else 0)
    assert got.headers["ETag"] == ETAG


def test_conditions_on_the_time(client: Client, url: str) -> None:
    shown = client.get(url).headers["Last-Modified"]
    before = format_datetime(parsedate_to_datetime(shown) - timedelta(seconds=1), usegmt=True)
    assert client.get(url, If_Modified_Since=shown).status == 304
    assert client.get(url, If_Modified_Since=before).status == 200
    assert client.get(url, If_Modified_Since="yesterday").status == 200
    assert client.get(url, If_Unmodified_Since=shown).status == 200
    assert client.get(url, If_Unmodified_Since=before).status == 412
    # The version is the stronger condition, so the time is ignored.
    assert client.get(url, If_None_Match=OTHER, If_Modified_Since=shown).status == 200


@pytest.mark.parametrize("name", ["nothing", "../update.gz", "%2e%2e/update.gz", "update.gz/"])
def test_only_staged_files_are_served(client: Client, url: str, path: str, name: str) -> None:
    assert client.get(f"/static/{path}/{name}").problem == (404, "not_found")
