"""Demo archive: it responds as a real one, and counts reads correctly."""

import re
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from staging_api.cli.demo.archive import serving


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[tuple[HTTPConnection, list[str]]]:
    """Yield a connection to an archive of two objects, and the list of its reads."""
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"content of {name}")
    with serving(tmp_path) as (url, read):
        connection = HTTPConnection(urlsplit(url).netloc, timeout=20)
        yield connection, read
        connection.close()


def asked(connection: HTTPConnection, path: str, method: str = "GET", **headers: str) -> str:
    connection.request(method, path, headers=headers)
    answer: HTTPResponse = connection.getresponse()
    assert answer.headers["Content-Length"].isdigit()
    range_sent = answer.headers["Content-Range"]
    length = int(answer.headers["Content-Length"])
    content = answer.read().decode()
    assert len(content) == (length if method == "GET" else 0)
    return f"{answer.status} {length} {range_sent} {content}".rstrip()


def test_an_object_has_an_etag_of_what_it_holds(
    archive: tuple[HTTPConnection, list[str]], tmp_path: Path
) -> None:
    connection, _ = archive

    def etag() -> str:
        connection.request("HEAD", "/one")
        answer = connection.getresponse()
        answer.read()
        return answer.headers["ETag"]

    tags = [etag(), etag()]
    (tmp_path / "one").write_text("content that is longer")
    tags.append(etag())
    assert tags[0] == tags[1] != tags[2]
    assert all(re.fullmatch(r'"[^"]+"', each) for each in tags)


def test_each_answer_leaves_the_connection_to_the_next(
    archive: tuple[HTTPConnection, list[str]],
) -> None:
    connection, read = archive
    assert asked(connection, "/none") == "404 0 None"
    assert asked(connection, "/../one") == "404 0 None"
    assert asked(connection, "/one") == "200 14 None content of one"
    assert asked(connection, "/two", "HEAD") == "200 14 None"
    assert asked(connection, "/none", "HEAD") == "404 0 None"
    assert asked(connection, "/two", Range="bytes=8-9") == "206 2 bytes 8-9/14 of"
    assert asked(connection, "/two", Range="bytes=11-") == "206 3 bytes 11-13/14 two"
    assert read == ["/one", "/two", "/two"]
