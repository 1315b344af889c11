"""Requests repeated on one connection, compared with gunicorn's parsing of each."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # has no types
from gunicorn.http import get_parser  # type: ignore[import-untyped]  # has no types
from gunicorn.http.errors import InvalidHeaderName, InvalidRequestLine  # type: ignore[import-untyped]  # has no types
from gunicorn.http.wsgi import Response, create  # type: ignore[import-untyped]  # has no types

from staging_api.processes.requests_of_connection import RequestsOfConnection
from staging_api.processes.sent_together import BufferedResponse

ADDRESS, SERVER = ("127.0.0.1", 40000), ("127.0.0.1", 8080)
HEADS = [
    b"GET /a%20b?c=d HTTP/1.1\r\nHost: x\r\nX-Context-Marker: 1\r\nCookie: a\r\nCookie: b\r\n\r\n",
    b"GET /other HTTP/1.1\r\nHost: x\r\nX-Context-Marker: 1\r\nCookie: a\r\nCookie: b\r\n\r\n",
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nX-Forwarded-Proto: https\r\n\r\n",
    b"HEAD / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + b"t" * 5000 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
]
POST = b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n"
CHUNKED = b"POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
EXPECTING = b"POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"


class Ends:
    """Both ends of a connection, and its requests."""

    def __init__(self) -> None:
        self.cfg = Config()
        self.ours, self.client = socket.socketpair()
        self.client.settimeout(10)
        self.requests = RequestsOfConnection(self.cfg, self.ours, ADDRESS, SERVER)

    def ask(self, received: bytes) -> tuple[Any, Any, dict[str, Any]]:
        req = self.requests.next(received)
        req.body = Body(req.body)
        return req, *self.requests.exchange(req)

    def rest(self) -> bytes | None:
        return self.requests.reach_next(time.monotonic() + 10)


class Body:
    """A body as the worker wraps it."""

    def __init__(self, body: Any) -> None:
        self.body = body

    @property
    def is_read(self) -> bool:
        return getattr(self.body.reader, "length", None) == 0

    def read(self, size: int | None = None) -> bytes:
        return bytes(self.body.read(size))


@pytest.fixture
def ends() -> Iterator[Ends]:
    found = Ends()
    yield found
    found.ours.close()
    found.client.close()


def by_gunicorn(cfg: Config, head: bytes) -> dict[str, Any]:
    parser = get_parser(cfg, iter([head]), ADDRESS)
    environ: dict[str, Any] = create(next(parser), None, ADDRESS, SERVER, cfg)[1]
    return environ


def plain(environ: dict[str, Any]) -> dict[str, Any]:
    of_one = {"wsgi.input", "wsgi.errors", "wsgi.early_hints", "gunicorn.socket"}
    return {name: value for name, value in environ.items() if name not in of_one}


def test_a_repeated_head_gives_the_same_environ_as_gunicorn(ends):
    for head in [*HEADS, *reversed(HEADS)]:
        for _ in range(3):
            req, _, environ = ends.ask(head)
            assert plain(environ) == plain(by_gunicorn(ends.cfg, head))
            assert environ["gunicorn.socket"] is ends.ours
            assert environ["wsgi.input"] is req.body
            assert req.body.read() == b""
            assert req.should_close() == (b"Connection: close" in head)
            assert ends.rest() == b""


def test_what_an_application_writes_into_a_request_is_not_in_the_next(ends):
    _, _, environ = ends.ask(HEADS[0])
    for name in list(environ):
        environ[name] = "written over"
    environ["more"] = "of it"
    ends.rest()
    _, _, again = ends.ask(HEADS[0])
    assert plain(again) == plain(by_gunicorn(ends.cfg, HEADS[0]))


def test_each_request_has_its_own_body_wherever_its_bytes_came(ends):
    for sent, later in [(b"first", b""), (b"", b"later"), (b"th", b"ree"), (b"4th..", b"")]:
        ends.client.sendall(later)
        _, _, environ = ends.ask(POST + sent)
        assert environ["wsgi.input"].read(5) == sent + later
        assert ends.rest() == b""


def test_a_body_that_is_left_unread_is_passed_over(ends):
    for _ in range(3):
        ends.ask(POST + b"xxxxx" + HEADS[1])
        assert ends.rest() == HEADS[1]


def test_a_request_that_came_with_the_last_is_behind_it(ends):
    for _ in range(2):
        ends.ask(HEADS[0] + HEADS[0] + HEADS[1])
        assert ends.rest() == HEADS[0] + HEADS[1]


def test_bodies_and_expectations_of_repeated_heads_are_read_each_time(ends):
    for body in (b"one", b"another"):
        req, _, _ = ends.ask(CHUNKED + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert req.body.read() == body
        assert ends.rest() == b""
    for _ in range(2):
        ends.ask(EXPECTING + b"12345")
        assert ends.client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert ends.rest() == b""


def test_an_invalid_request_after_a_valid_one_is_refused(ends):
    for bad, error in [
        (HEADS[0].replace(b"/a", b"\x00a"), InvalidRequestLine),
        (HEADS[0].replace(b"Host", b"Ho st"), InvalidHeaderName),
    ]:
        ends.ask(HEADS[0])
        ends.rest()
        with pytest.raises(error):
            ends.ask(bad)


ANSWERS = [
    [("Content-Type", "text/plain"), ("content-length", " 12 "), ("X-Id", "1"), ("X-Id", "2")],
    [("X-Long", "y" * 1000), ("Keep-Alive", "5"), ("Connection", "close")],
    [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("X-Empty", "")],
    [("Upgrade", "h2c")],
]


def test_headers_of_answers_are_as_gunicorn_has_them_each_time(ends):
    req, _, _ = ends.ask(HEADS[0])
    for headers in ANSWERS * 2:
        found, expected = (kind(req, ends.ours, ends.cfg) for kind in (BufferedResponse, Response))
        for each in (found, expected):
            each.start_response("200 OK", headers)
        for name in ("headers", "response_length", "upgrade", "chunked"):
            assert getattr(found, name) == getattr(expected, name)
        lines = "".join(found.default_headers()).split("\r\n")
        assert [line for line in lines if not line.startswith("Date")] == [
            line
            for line in "".join(expected.default_headers()).split("\r\n")
            if not line.startswith("Date")
        ]


@pytest.mark.parametrize(
    "header",
    [("X-A", "b\r\nX-C: d"), ("X A", "b"), ("X-A", 1), (1, "b"), ("X-A", "y" * 300 + "\n")],
    ids=repr,
)
def test_a_header_that_cannot_be_sent_is_refused_each_time(ends, header):
    req, _, _ = ends.ask(HEADS[0])
    for _ in range(2):
        raised = []
        for kind in (BufferedResponse, Response):
            with pytest.raises(Exception) as refused:  # noqa: PT011 - compared below
                kind(req, ends.ours, ends.cfg).start_response("200 OK", [("X-B", "c"), header])
            raised.append((type(refused.value), str(refused.value)))
        assert raised[0] == raised[1]
