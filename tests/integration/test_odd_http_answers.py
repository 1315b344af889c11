"""Unusual but valid responses of HTTP servers: cookies, 203, headers without end."""

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from staging_api.errors import SourceChanged, SourceFailed, SourceRefused, StagingApiError
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.model import Source, SourceOptions, take
from staging_api.sources.source_cookies import SourceCookies
from staging_api.sources.url import parse
from tests.scripted_http import Asked, Reply, Script, Scripted, scripted_http, served

BODY = bytes(range(256)) * 16
ETAG = {"ETag": '"v1"'}
Opened = Callable[[Script], tuple[Source, Scripted]]


@pytest.fixture
def opened() -> Iterator[Opened]:
    with ExitStack() as stack:

        def open_it(script: Script) -> tuple[Source, Scripted]:
            server = stack.enter_context(scripted_http(script))
            options = SourceOptions(sleep=lambda _seconds: None)
            allowed = AllowList.parse(server.url)
            source = open_archive(parse(f"{server.url}/b/R17"), allowed, options)
            stack.callback(source.close)
            return source, server

        yield open_it


def read(source: Source, name: str = "object.bin") -> bytes:
    with source.open(source.stat(name)) as chunks:
        return b"".join(chunks)


def test_a_203_response_of_a_proxy_is_accepted(opened: Opened) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(203, BODY, ETAG)

    assert read(opened(script)[0]) == BODY


def test_a_cookie_of_a_redirect_to_the_same_place_is_sent_back(opened: Opened) -> None:
    def script(asked: Asked) -> Reply:
        if asked.headers.get("cookie") == "seen=yes":
            return served(BODY, asked, **ETAG)
        return Reply(302, headers={"Location": asked.path, "Set-Cookie": "seen=yes; Path=/"})

    source, server = opened(script)
    assert read(source) == BODY
    # Each redirect chain starts without cookies.
    assert ["cookie" in asked.headers for asked in server.asked] == [False, True] * 2


def test_a_cookie_goes_to_no_other_origin(opened: Opened) -> None:
    def other(asked: Asked) -> Reply:
        return served(BODY, asked, **ETAG)

    _, elsewhere = opened(other)

    def script(asked: Asked) -> Reply:
        there = f"{elsewhere.url}{asked.path}"
        return Reply(302, headers={"Location": there, "Set-Cookie": "secret=1; Domain=127.0.0.1"})

    with scripted_http(script) as server:
        allowed = AllowList.parse(f"{server.url}, {elsewhere.url}")
        source = open_archive(parse(f"{server.url}/b/R17"), allowed, SourceOptions())
        assert read(source) == BODY
        source.close()
    assert elsewhere.asked
    assert not any("cookie" in asked.headers for asked in elsewhere.asked)


def test_few_and_plain_cookies_are_kept_each_for_its_origin() -> None:
    cookies = SourceCookies()
    cookies.take("a", ["x=1; Path=/", "y=; HttpOnly", "bad", "=2", "z=a\r\n Evil: 1", "x=3"])
    assert cookies.headers("a") == {"Cookie": "y=; z=a; x=3"}
    assert cookies.headers("b") == {}
    cookies.take("a", ["y=; Max-Age=0", "z=; max-age=-1;", "big=" + "b" * 4096])
    assert cookies.headers("a") == {"Cookie": "x=3"}
    cookies.take("a", ["x=" + "b" * 5000])
    assert cookies.headers("a") == {"Cookie": "x=3"}
    cookies.take("b", [f"n{number}=1" for number in range(100)])
    assert cookies.headers("b")["Cookie"].count("=") == 20


@pytest.mark.parametrize(
    "headers",
    [{f"X-{number}": "1" for number in range(120)}, {"X-Long": "x" * 70_000}],
    ids=["many", "long"],
)
def test_a_head_that_is_not_read_is_named_and_not_asked_for_again(
    opened: Opened, headers: dict[str, str]
) -> None:
    source, server = opened(lambda asked: Reply(200, BODY, headers))
    with pytest.raises(SourceFailed, match="more than 100 headers") as failed:
        source.stat("object.bin")
    assert not failed.value.retryable
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(hang_up=True), "source_failed"),
        (Reply(503), "source_failed"),
        (Reply(302, headers={"Location": "/b/R17/object.bin"}), "source_failed"),
        (Reply(302, headers={"Location": "file:///etc/passwd"}), "source_not_allowed"),
        (Reply(body=b"abc", send_bytes=1), "source_failed"),
        (Reply(200, b"abc", has_length=False), "source_failed"),
    ],
)
def test_a_failure_names_the_object_once(opened: Opened, reply: Reply, code: str) -> None:
    source, _ = opened(lambda _asked: reply)
    with pytest.raises(StagingApiError, match=r"object\.bin") as failed:
        read(source)
    assert failed.value.code == code
    assert failed.value.detail.count("object.bin") == 1
    assert str(failed.value) == failed.value.detail


@pytest.mark.parametrize(
    ("coding", "sent"),
    [
        ("gzip", gzip.compress(BODY)),
        ("X-GZIP", gzip.compress(BODY[:100]) + gzip.compress(BODY[100:])),
        ("deflate", zlib.compress(BODY)),
    ],
)
@pytest.mark.parametrize("more", [{}, ETAG, {"Last-Modified": "Sun, 22 Nov 2026 02:38:51 GMT"}])
@pytest.mark.parametrize("has_ranges", [True, False])
def test_a_coding_that_was_not_asked_for_is_undone(
    opened: Opened, coding: str, sent: bytes, more: dict[str, str], has_ranges: bool
) -> None:
    headers = {**more, "Content-Encoding": coding, "Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}

    def script(asked: Asked) -> Reply:
        return served(sent, asked, **headers) if has_ranges else Reply(200, sent, headers)

    source, _ = opened(script)
    found = source.stat("object.bin")
    assert (found.size_bytes, found.digests) == (None, {})
    assert read(source) == BODY
    with source.open(found, 100, 200) as chunks:
        assert b"".join(chunks) == BODY[100:200]
    with take(source, "object.bin") as (_, chunks):
        assert b"".join(chunks) == BODY


def test_what_is_packed_by_its_name_or_its_type_comes_as_it_is(opened: Opened) -> None:
    sent, kinds = gzip.compress(BODY), iter(["application/x-tar"] * 8 + ["application/x-gzip"] * 2)

    def script(asked: Asked) -> Reply:
        kind = {"Content-Encoding": "x-gzip", "Content-Type": next(kinds)}
        return served(sent, asked, **ETAG, **kind)

    source, _ = opened(script)
    for name in ("image.tar.gz", "IMAGE.TGZ", "image.tar.gz.asc", "a/b.gz.1", "download"):
        assert read(source, name) == sent


@pytest.mark.parametrize("length", ["5", str(len(BODY) + 5)])
def test_a_body_in_chunks_has_no_other_length(opened: Opened, length: str) -> None:
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)
    headers = {"Transfer-Encoding": "chunked", "Content-Length": length, **ETAG}
    source, _ = opened(lambda _asked: Reply(200, chunks, headers, has_length=False))
    assert source.stat("object.bin").size_bytes is None
    assert read(source) == BODY


@pytest.mark.parametrize("coded", [True, False])
def test_what_is_a_little_longer_than_it_was_found_is_no_whole_object(
    opened: Opened, coded: bool
) -> None:
    packed = gzip.compress(BODY + b"x")
    chunks = b"%x\r\n%bx\r\n0\r\n\r\n" % (len(BODY) + 1, BODY)
    more = {"Content-Encoding": "gzip"} if coded else {"Transfer-Encoding": "chunked"}
    longer = Reply(200, packed if coded else chunks, {**more, **ETAG}, has_length=coded)
    source, _ = opened(lambda asked: Reply(200, BODY, ETAG) if asked.method == "HEAD" else longer)
    with pytest.raises(SourceChanged, match="is longer than"):
        read(source)


@pytest.mark.parametrize("cut", [True, False])
def test_what_was_packed_and_is_cut_or_damaged_is_a_failure(opened: Opened, cut: bool) -> None:
    sent = gzip.compress(BODY * 100)
    headers = {"Content-Encoding": "gzip", **ETAG}
    says = "cut the" if cut else "a body that is damaged"
    bad = Reply(200, sent, headers, send_bytes=500) if cut else Reply(200, BODY, headers)
    source, _ = opened(lambda _asked: bad)
    with pytest.raises(SourceFailed, match=says):
        read(source)


def always(headers: dict[str, str]) -> Script:
    return lambda asked: served(BODY, asked, **headers)


def test_a_coding_that_cannot_be_undone_is_refused_and_a_word_that_is_none_is_passed_over(
    opened: Opened,
) -> None:
    codings = {"br": SourceRefused, "aws-chunked": None, "utf-8": None, "identity": None}
    for coding, refusal in codings.items():
        source, _ = opened(always({"Content-Encoding": coding}))
        if refusal is None:
            assert read(source) == BODY
        else:
            with pytest.raises(refusal, match="Content-Encoding: br"):
                source.stat("object.bin")


def test_a_list_that_comes_packed_is_read(opened: Opened) -> None:
    page = gzip.compress(b'<html><a href="a.bin">a.bin</a></html>')
    headers = {"Content-Encoding": "gzip", "Content-Type": "text/html"}

    def script(asked: Asked) -> Reply:
        return Reply(200, page, headers) if asked.path.endswith("/R17/") else Reply(404)

    assert opened(script)[0].names() == ["a.bin"]
