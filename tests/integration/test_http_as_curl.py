"""HTTP source against real servers with odd but valid behaviour: accepted, as by curl."""

import gzip
import hashlib
import threading
import time
from base64 import b64encode
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from pathlib import Path

import pytest

from staging_api.errors import (
    ArtifactNotFound,
    SourceChanged,
    SourceFailed,
    SourceNotAllowed,
    SourceRefused,
)
from staging_api.sources import open_archive
from staging_api.sources.allowlist import AllowList
from staging_api.sources.breaker import Breakers
from staging_api.sources.model import SourceOptions
from staging_api.sources.retrying import Interrupted
from staging_api.sources.url import parse
from tests.scripted_http import Reply, scripted_http, served

BODY = bytes(range(256)) * 64
PAGE = b'\n<!DOCTYPE html>\n<html lang="en"><title>Sign in</title>'
HTML = {"Content-Type": "text/html; charset=utf-8"}
ETAG = {"ETag": '"one"'}
#: Meaning of an object's status; some of the neighbouring codes have no special meaning.
OF_STATUS = {
    ArtifactNotFound: (404, 410),
    SourceRefused: (400, 401, 402, 403, 405, 407, 409, 411, 412, 413, 416, 417, 426, 451, 501),
    Interrupted: (408, 425, 429, 500, 502, 503, 504, 599),
    SourceFailed: (201, 204, 207, 300, 304, 305),
}


@pytest.fixture
def opened():
    """Yield a function that opens the archive /b/R17 of a scripted server."""
    closers = []

    def open_it(script, allow="", **options):
        running = scripted_http(script)
        server = running.__enter__()
        allowed = AllowList.parse(f"{server.url}{allow}")
        chosen = SourceOptions(**{"sleep": lambda _seconds: None, "attempts": 2, **options})
        source = open_archive(parse(f"{server.url}/b/R17"), allowed, chosen)
        closers.append((source, running))
        return source, server

    yield open_it
    for source, running in closers:
        source.close()
        running.__exit__(None, None, None)


def read(source, name="object.bin", start=0, end=None):
    with source.open(source.stat(name), start, end) as chunks:
        return b"".join(chunks)


def take(source, name="object.bin"):
    with source.take(name) as (found, chunks):
        return found, b"".join(chunks)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 500, 501, 502])
def test_a_refused_head_says_nothing_about_the_object(opened, status):
    def script(asked):
        return Reply(status) if asked.method == "HEAD" else served(BODY, asked, **ETAG)

    source, server = opened(script)
    found = source.stat("object.bin")
    assert (found.size_bytes, found.version, found.strong) == (len(BODY), '"one"', True)
    assert read(source) == BODY
    assert server.asked[1].headers["range"] == "bytes=0-511"


@pytest.mark.parametrize("status", [408, 425, 429, 503, 504])
def test_a_server_that_is_overloaded_is_not_asked_a_second_time_at_once(opened, status):
    source, server = opened(lambda _asked: Reply(status), attempts=1)
    with pytest.raises(Interrupted, match=str(status)):
        source.stat("object.bin")
    assert [each.method for each in server.asked] == ["HEAD"]


@pytest.mark.parametrize(
    ("status", "kind"), [(status, kind) for kind, each in OF_STATUS.items() for status in each]
)
def test_what_a_status_says_of_an_object(opened, status, kind):
    source, _ = opened(lambda _asked: Reply(status, headers={"Location": "x:"}), attempts=1)
    with pytest.raises(kind) as refused:
        take(source)
    assert type(refused.value) is kind
    assert refused.value.retryable == (kind is Interrupted)
    if kind is SourceRefused:
        assert str(status) in refused.value.detail


@pytest.mark.parametrize("status", [412, 416])
def test_a_range_that_is_refused_after_an_object_was_found_says_that_it_changed(opened, status):
    source, _ = opened(lambda asked: served(BODY, asked, **ETAG) if not asked.part else Reply(416))
    found = source.stat("object.bin")
    with pytest.raises(SourceChanged, match="changed since"), source.open(found, 5) as chunks:
        list(chunks)


@pytest.mark.parametrize(
    ("given", "of_bucket", "says"),
    [
        (
            False,
            False,
            "it needs a credential: by STAGING_SOURCES_AUTHORIZATION_FILE, or .*request$",
        ),
        (
            False,
            True,
            "; or it does not exist: a bucket without permission to list also refuses absent",
        ),
        (
            True,
            False,
            "the entry of STAGING_SOURCES_AUTHORIZATION_FILE for http://.* may have expired",
        ),
    ],
)
def test_a_refusal_says_what_may_help(given, of_bucket, says):
    headers = {"x-amz-request-id": "1"} if of_bucket else {}
    with scripted_http(lambda _asked: Reply(403, headers=headers)) as server:
        options = SourceOptions(authorization={server.url: "Bearer x"} if given else {})
        source = open_archive(parse(f"{server.url}/b"), AllowList.parse(server.url), options)
        with pytest.raises(SourceRefused, match=says):
            source.stat("object.bin")
        source.close()


@pytest.mark.parametrize(
    "reply",
    [
        Reply(451),
        Reply(204),
        Reply(302),
        Reply(302, headers={"Location": "odd.bin"}),
        Reply(302, headers={"Location": "http://[bad/x"}),
    ],
)
def test_odd_answers_about_one_object_keep_nobody_from_the_others_of_the_host(opened, reply):
    def script(asked):
        return reply if asked.path.endswith("odd.bin") else served(BODY, asked, **ETAG)

    source, _ = opened(script, breakers=Breakers(limit=2))
    for _ in range(3):
        with pytest.raises(SourceFailed) as failed:
            source.stat("odd.bin")
        assert not failed.value.retryable
    assert read(source) == BODY


def test_a_server_that_blames_the_request_for_what_is_absent_has_no_manifest(opened):
    def script(asked):
        if asked.path == "/b/R17/SHA256SUMS":
            return served(f"{hashlib.sha256(BODY).hexdigest()}  object.bin".encode(), asked)
        return served(BODY, asked) if asked.path.endswith("object.bin") else Reply(400)

    source, _ = opened(script)
    assert source.names() == ["object.bin", "SHA256SUMS"]


def test_interim_answers_are_passed_over(opened):
    def script(asked):
        return replace(served(BODY, asked, **ETAG), interim=(100, 102, 103, 103, 199))

    source, _ = opened(script)
    assert read(source, start=10) == BODY[10:]
    assert take(source)[1] == BODY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_each_kind_of_redirect_is_followed(opened, status):
    def script(asked):
        if asked.path.endswith("/object.bin"):
            return Reply(status, headers={"Location": "/b/R17/there"})
        return served(BODY, asked, **ETAG)

    source, _ = opened(script)
    assert read(source) == BODY


def test_connections_are_used_again_unless_much_of_a_body_is_left(opened):
    left = {"little": 64 << 10, "much": (64 << 10) + 1}

    def script(asked):
        return Reply(404, bytes(left.get(asked.path.rpartition("/")[2], 0)))

    source, server = opened(script)
    for name in ("little", "none", "much", "other"):
        with pytest.raises(ArtifactNotFound), source.take(name):
            pass
    little, none, much, other = (each.connection for each in server.asked)
    assert little == none == much != other


def test_a_source_that_is_closed_keeps_no_connection(opened):
    def sockets():
        names = Path("/proc/self/fd").iterdir()
        return sum(name.is_symlink() and "socket:" in str(name.readlink()) for name in names)

    source, _ = opened(lambda asked: served(BODY, asked, **ETAG))
    before = sockets()
    assert read(source) == BODY
    assert sockets() > before
    source.close()
    # The server is in this process, too, and notices the closed connection a moment later.
    deadline = time.monotonic() + 20
    while sockets() > before and time.monotonic() < deadline:
        time.sleep(0.01)
    assert sockets() == before
    with pytest.raises(SourceFailed, match="was closed"):
        source.stat("object.bin")


@pytest.mark.parametrize("head", [{"Content-Length": "0"}, {}, {**HTML, "Content-Length": "9"}])
def test_a_head_that_does_not_describe_the_object_is_not_believed(opened, head):
    def script(asked):
        if asked.method == "HEAD":
            return Reply(headers=head, has_length=False)
        return served(BODY, asked, **ETAG)

    source, _ = opened(script)
    assert source.stat("object.bin").size_bytes == len(BODY)
    assert read(source) == BODY


@pytest.mark.parametrize("status", [400, 416, 501])
def test_a_server_without_ranges_and_head_is_read(opened, status):
    def script(asked):
        if asked.method == "HEAD" or asked.part:
            return Reply(status)
        return Reply(body=BODY)

    source, _ = opened(script)
    assert source.stat("object.bin").size_bytes == len(BODY)
    assert read(source) == BODY


@pytest.mark.parametrize("head", [Reply(hang_up=True), Reply(429), Reply(503), Reply(504)])
def test_a_head_that_keeps_failing_is_replaced_by_a_get(opened, head):
    def script(asked):
        return head if asked.method == "HEAD" else served(BODY, asked, **ETAG)

    source, server = opened(script)
    for _ in range(2):
        assert source.stat("object.bin").size_bytes == len(BODY)
    # The second object costs no HEAD.
    assert [each.method for each in server.asked] == ["HEAD", "GET", "GET"]


@pytest.mark.parametrize("status", [400, 403, 405, 406, 416, 501])
def test_a_server_that_refuses_ranges_is_read_without(opened, status):
    def script(asked):
        if asked.method == "HEAD":
            return Reply(405)
        return Reply(status) if asked.part else Reply(body=BODY, headers=ETAG)

    source, server = opened(script)
    found = source.stat("object.bin")
    with source.open(found, 10, 20) as chunks:
        assert b"".join(chunks) == BODY[10:20]
    assert [each.part is None for each in server.asked] == [True, False, True, True]


@pytest.mark.parametrize("status", [400, 403, 405, 501])
def test_ranges_refused_after_a_head_are_read_without(opened, status):
    def script(asked):
        return Reply(status) if asked.part else Reply(body=BODY, headers=ETAG)

    source, server = opened(script)
    for _ in range(2):
        assert read(source, start=10, end=20) == BODY[10:20]
    assert sum(each.part is not None for each in server.asked) == 1


def test_a_first_get_that_gets_no_response_is_repeated_without_a_range(opened):
    def script(asked):
        is_refused = asked.method == "HEAD" or asked.part
        return Reply(hang_up=True) if is_refused else Reply(body=BODY, headers=ETAG)

    source, server = opened(script, attempts=3)
    assert source.stat("object.bin").size_bytes == len(BODY)
    assert [each.part is None for each in server.asked] == [True, False, True]


def test_an_empty_object_is_empty_whatever_the_server_says_to_a_range(opened):
    source, _ = opened(lambda asked: served(b"", asked, **ETAG))
    assert source.stat("object.bin").size_bytes == 0
    assert read(source) == b""


def test_mirrors_with_their_own_etags_are_read_by_one_get(opened):
    etags = cycle(['"one"', '"two"'])
    source, server = opened(lambda asked: served(BODY, asked, ETag=next(etags)))
    found, body = take(source)
    assert (body, found.version, found.size_bytes) == (BODY, '"one"', len(BODY))
    assert len(server.asked) == 1


def test_a_list_of_mirrors_with_their_own_etags_is_read(opened):
    etags = iter(range(100))
    listed = b"object.bin\n"
    source, _ = opened(lambda asked: served(listed, asked, ETag=f'"{next(etags)}"'))
    assert list(source.names()) == ["object.bin"]


def test_a_time_of_change_of_now_is_read_by_one_get(opened):
    seconds = iter(range(60))

    def script(asked):
        now = f"Sun, 06 Nov 1994 08:49:{next(seconds):02} GMT"
        return served(BODY, asked, **{"Last-Modified": now})

    source, _ = opened(script)
    assert take(source)[1] == BODY


def test_a_server_that_refuses_any_condition_is_read_and_resumed(opened):
    def script(asked):
        if "if-match" in asked.headers:
            return Reply(412)
        whole = served(BODY, asked, **ETAG)
        if asked.method == "GET" and not asked.part:
            return Reply(200, BODY, ETAG, send_bytes=5000)
        return whole

    source, server = opened(script)
    assert read(source) == BODY
    assert server.asked[-1].headers["if-range"] == '"one"'


@pytest.mark.parametrize("ranges", [True, False])
def test_an_object_taken_by_one_get_goes_on_where_it_was_cut_if_it_has_a_version(opened, ranges):
    def script(asked):
        if asked.part:
            return served(BODY, asked, **ETAG) if ranges else Reply(200, BODY, ETAG)
        return Reply(200, BODY, ETAG, send_bytes=5000)

    source, server = opened(script)
    assert take(source)[1] == BODY
    assert [each.part for each in server.asked] == [None, (5000, None)]


def test_an_object_without_a_version_is_not_sewn_together(opened):
    source, server = opened(lambda _asked: Reply(200, BODY, send_bytes=5000))
    with pytest.raises(SourceFailed, match="cut"):
        take(source)
    assert len(server.asked) == 1


def test_the_length_may_be_a_list_and_the_range_of_unknown_length(opened):
    def script(asked):
        if asked.method == "HEAD":
            return Reply(headers={"Content-Length": f"{len(BODY)}, {len(BODY)}", **ETAG})
        start, end = asked.part or (0, None)
        part = BODY[start:end]
        spoken = f"BYTES {start}-{start + len(part) - 1}/*"
        return Reply(206, part, {"Content-Range": spoken, **ETAG})

    source, _ = opened(script)
    assert source.stat("object.bin").size_bytes == len(BODY)
    assert read(source, start=100, end=200) == BODY[100:200]


def test_a_length_that_is_said_twice_holds_no_reader_up(opened):
    twice = {"Content-Length": f"{len(BODY)}, {len(BODY)}", **ETAG}
    source, _ = opened(
        lambda _asked: Reply(body=BODY, headers=twice), attempts=1, read_timeout_seconds=0.5
    )
    assert read(source) == BODY
    assert take(source)[1] == BODY


OTHER_RANGES = {
    "unnamed": {},
    "unreadable": {"Content-Range": "bytes */*"},
    "of several parts": {"Content-Type": "multipart/byteranges; boundary=x"},
    "always the first": {"Content-Range": "bytes 0-19/{size}"},
    "behind": {"Content-Range": "bytes {behind}-{last}/{size}"},
}


@pytest.mark.parametrize("size", [1 << 14, 9 << 20])
@pytest.mark.parametrize("form", OTHER_RANGES)
def test_a_server_that_sends_another_range_is_read_as_one_without_ranges(opened, form, size):
    body = bytes(range(256)) * (size >> 8)

    def script(asked):
        if asked.part is None:
            return served(body, asked, **ETAG)
        numbers = {"size": size, "behind": asked.part[0] + 1, "last": size - 1}
        headers = {name: text.format(**numbers) for name, text in OTHER_RANGES[form].items()}
        return Reply(206, b"y" * 20, {**headers, **ETAG})

    source, _ = opened(script)
    found, start = source.stat("image.zip"), size - 100
    if start <= 8 << 20:
        assert read(source, "image.zip", start, start + 30) == body[start : start + 30]
    else:
        with pytest.raises(SourceChanged, match="no ranges"), source.open(found, start) as chunks:
            next(chunks)
    assert take(source, "image.zip")[1] == body


def test_a_range_that_begins_earlier_than_asked_is_cut_to_measure(opened):
    def script(asked):
        if asked.part is None:
            return served(BODY, asked, **ETAG)
        spoken = f"bytes 0-{len(BODY) - 1}/{len(BODY)}"
        return Reply(206, BODY, {"Content-Range": spoken, **ETAG})

    source, _ = opened(script)
    assert read(source, start=100, end=200) == BODY[100:200]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("stateful.tgz", "text/html"),
        ("stateful.tgz", "application/octet-stream"),
        ("image.bin", "text/html"),
        ("notes.txt", "TEXT/HTML"),
        ("UPLOADED", "application/xhtml+xml"),
    ],
)
def test_a_page_to_sign_in_is_refused_in_the_place_of_an_object(opened, name, kind):
    def script(asked):
        if asked.path.startswith("/login"):
            return Reply(body=PAGE, headers={"Content-Type": kind, **ETAG})
        return Reply(302, headers={"Location": f"/login?next={asked.path}"})

    source, _ = opened(script)
    with pytest.raises(SourceRefused, match="web page instead of"):
        read(source, name)
    with pytest.raises(SourceRefused, match="web page instead of"):
        take(source, name)


def test_a_page_that_comes_only_in_the_place_of_the_bytes_is_refused(opened):
    def script(asked):
        if asked.method == "HEAD":
            return Reply(headers={"Content-Length": str(len(PAGE))})
        return Reply(body=PAGE, headers=HTML)

    source, _ = opened(script)
    with pytest.raises(SourceRefused):
        read(source, "stateful.tgz")
    with pytest.raises(SourceRefused):
        read(source, "image.zip", start=10, end=20)


@pytest.mark.parametrize(
    ("name", "body", "headers"),
    [
        ("index.html", PAGE, HTML),
        ("report", PAGE, HTML),
        ("stateful.tgz", gzip.compress(b"x", mtime=0), HTML),
        ("page.txt", PAGE, {"Content-Type": "text/plain"}),
        ("feed.xml", b"<?xml version='1.0'?><feed/>", {"Content-Type": "text/xml"}),
    ],
)
def test_requested_html_pages_and_wrong_content_types_are_accepted(opened, name, body, headers):
    source, _ = opened(lambda asked: served(body, asked, **headers))
    assert read(source, name) == body


def test_a_plus_is_sent_as_an_escape_and_stays_in_the_url(opened):
    source, server = opened(lambda asked: served(BODY, asked))
    found = source.stat("g++ 1.bin")
    assert {each.path for each in server.asked} == {"/b/R17/g%2B%2B%201.bin"}
    assert found.url == f"{server.url}/b/R17/g++%201.bin"


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/x%2fy/%7Euser//z+1?sig=a%2bb&c=d/e", "/x%2fy/%7Euser//z+1?sig=a%2bb&c=d/e"),
        ("/a%25b?x", "/a%25b?x"),
        ("/f\u00fcr".encode().decode("latin-1"), "/f%C3%BCr"),
        ("/with space", "/with%20space"),
        ("other.bin#part", "/b/R17/other.bin"),
        ("?only=query", "/b/R17/object.bin?only=query"),
    ],
)
def test_a_redirect_is_followed_octet_for_octet(opened, location, sent):
    def script(asked):
        if asked.path == "/b/R17/object.bin":
            return Reply(302, headers={"Location": location})
        return served(BODY, asked, **ETAG)

    source, server = opened(script)
    assert read(source) == BODY
    assert {each.path for each in server.asked} == {"/b/R17/object.bin", sent}


@pytest.mark.parametrize(
    "location",
    [
        "/b/../secret",
        "/b/%2e%2e/secret",
        "/b/%252e%252e/secret",
        "/b/..%2fsecret",
        "/b/..%5csecret",
        "/b/%25252e%25252e%25252fsecret",
        "/b%2fR17/x",
        "/secret",
        "//127.0.0.1:1/b/x",
        "/b/x%0d%0aHost: other",
        "/b/x%00",
    ],
)
def test_no_spelling_of_a_redirect_leads_out_of_the_allow_list(opened, location):
    def script(_asked):
        return Reply(302, headers={"Location": location})

    source, server = opened(script, allow="/b/")
    with pytest.raises((SourceNotAllowed, SourceFailed)):
        source.stat("object.bin")
    assert len(server.asked) == 1


def test_an_object_stored_with_gzip_by_google_is_read_as_stored(opened):
    plain = b"line\n" * 4000
    stored = gzip.compress(plain, mtime=0)
    headers = {
        "x-goog-stored-content-encoding": "gzip",
        "x-goog-stored-content-length": str(len(stored)),
        "x-goog-hash": f"md5={b64encode(hashlib.md5(stored).digest()).decode()}",
    }

    def script(asked):
        if "gzip" not in asked.headers["accept-encoding"]:
            return Reply(body=plain, headers=headers, has_length=False)
        return served(stored, asked, **headers, **{"Content-Encoding": "gzip"}, **ETAG)

    source, _ = opened(script)
    found = source.stat("lines.txt")
    assert found.size_bytes == len(stored)
    assert found.digests == {"md5": hashlib.md5(stored).hexdigest()}
    assert read(source, "lines.txt") == stored
    assert read(source, "lines.txt", 10, 20) == stored[10:20]


def test_a_missing_object_costs_one_head_and_one_get(opened):
    source, server = opened(lambda _asked: Reply(404))
    with pytest.raises(ArtifactNotFound):
        source.stat("object.bin")
    assert [each.method for each in server.asked] == ["HEAD", "GET"]


@pytest.mark.parametrize(
    ("refusal", "allowed"),
    [(429, 1), (503, 2), (403, 1), (509, 1), (400, 1), ("hang up", 1)],
)
def test_a_source_that_allows_few_connections_is_read_with_fewer(opened, refusal, allowed):
    """The server refuses further connections in various ways; each range needs one attempt."""
    at_once: Counter[str] = Counter()
    most: list[int] = []
    held = threading.Condition()

    def script(asked):
        if asked.method == "HEAD":
            return Reply(headers={"Content-Length": str(len(BODY)), **ETAG})
        with held:
            at_once["now"] += 1
            crowded = at_once["now"] > allowed
            was_seen = max(most, default=0) > allowed
            most.append(at_once["now"])
            held.notify_all()
            if not crowded and was_seen:
                # Long enough for another range to be requested meanwhile, if there is one.
                held.wait_for(lambda: at_once["now"] > allowed, 0.02)
            elif not crowded:
                # The first time, one range too many is requested, even on a slow machine.
                held.wait_for(lambda: max(most) > allowed, 20)
        try:
            if crowded:
                return Reply(hang_up=True) if refusal == "hang up" else Reply(refusal)
            return served(BODY, asked, **ETAG)
        finally:
            with held:
                at_once["now"] -= 1

    source, _ = opened(script, attempts=1, sleep=time.sleep, backoff_seconds=0.01)
    found = source.stat("object.bin")

    def part(start):
        with source.open(found, start, start + 2048) as chunks:
            return b"".join(chunks)

    with ThreadPoolExecutor(4) as threads:
        parts = list(threads.map(part, range(0, len(BODY), 2048)))
    assert b"".join(parts) == BODY
    assert max(most) > allowed


def test_a_single_range_that_keeps_failing_is_a_failure_of_the_source(opened):
    source, server = opened(lambda asked: Reply(503) if asked.part else served(BODY, asked, **ETAG))
    found = source.stat("object.bin")
    with pytest.raises(SourceFailed, match="503"), source.open(found, 1, 2) as chunks:
        next(chunks)
    assert len(server.asked) == 3


@pytest.mark.parametrize("says_so", [True, False])
def test_a_far_part_of_an_object_without_ranges_is_not_read_in_vain(opened, says_so):
    body = bytes(range(256)) * (9 << 12)
    headers = {**ETAG, "Accept-Ranges": "none"} if says_so else ETAG
    source, server = opened(lambda _asked: Reply(body=body, headers=headers))
    found = source.stat("image.zip")
    with pytest.raises(SourceChanged, match="no ranges"), source.open(found, 9_000_000) as chunks:
        next(chunks)
    assert len(server.asked) == (1 if says_so else 2)
    far = 8 << 20
    with pytest.raises(SourceChanged, match="no ranges"), source.open(found, far + 1) as chunks:
        next(chunks)
    for start in (10, far):
        with source.open(found, start, start + 20) as chunks:
            assert b"".join(chunks) == body[start : start + 20]
    assert take(source, "image.zip")[1] == body
