"""Sent responses: number of sends, and cached heads and headers."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from gunicorn.config import Config  # type: ignore[import-untyped]  # has no types

from staging_api.processes import sent_together
from staging_api.processes.requests_of_connection import RequestsOfConnection, length_of
from staging_api.processes.sent_together import BufferedResponse

ADDRESS = ("127.0.0.1", 1)


class Noted:
    """A socket that records each send."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def sendall(self, piece: bytes) -> None:
        self.pieces.append(piece)


@pytest.fixture
def requests() -> Iterator[RequestsOfConnection]:
    ours, client = socket.socketpair()
    with ours, client:
        yield RequestsOfConnection(Config(), ours, ADDRESS, ADDRESS)


@pytest.fixture
def response(requests: RequestsOfConnection) -> Any:
    """Return a response to a request, before its start."""
    req = requests.next(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    found, _ = requests.exchange(req)
    found.sock = Noted()
    return found


@pytest.mark.parametrize(("size", "pieces"), [(1, 1), (64 << 10, 1), ((64 << 10) + 1, 2)])
def test_a_head_leaves_with_a_body_of_64_kib_at_most(response: Any, size: int, pieces: int) -> None:
    response.start_response("200 OK", [("Content-Length", str(size + 1))])
    sock = response.sock
    response.write(b"x" * size)
    assert len(sock.pieces) == pieces
    assert b"".join(sock.pieces).endswith(b"\r\n\r\n" + b"x" * size)
    assert response.sock is sock
    response.write(b"y")
    assert sock.pieces[pieces:] == [b"y"]


def test_parts_of_an_answer_without_a_length_leave_as_gunicorn_sends_them(response: Any) -> None:
    response.start_response("200 OK", [])
    assert response.chunked
    response.write(b"part")
    assert len(response.sock.pieces) == 2


def test_an_answer_that_breaks_has_its_socket_again(response: Any) -> None:
    response.start_response("200 OK", [("Content-Length", "5")])
    sock = response.sock
    broken: Any = "no bytes"
    with pytest.raises(TypeError):
        response.write(broken)
    assert response.sock is sock
    assert sock.pieces == []


@pytest.mark.parametrize(("size", "kept"), [(256, True), (257, False)])
def test_headers_of_256_bytes_are_kept_and_not_checked_again(
    response: Any, size: int, kept: bool
) -> None:
    given = [(f"X-{size}", "y" * size)]
    sent_together._checked.cache_clear()
    response.process_headers(given)
    response.process_headers(given)
    found = sent_together._checked.cache_info()
    assert (found.currsize, found.hits) == ((1, 1) if kept else (0, 0))
    assert found.maxsize == 4096
    assert response.headers == given * 2


def test_a_date_is_that_of_its_second(response: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    response.start_response("200 OK", [])
    dates: list[str] = []
    for now in (0.0, 0.9, 1.0, 86400.0):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        dates += [line for line in response.default_headers() if line.startswith("Date")]
    assert [date.split()[2] + date.split()[5] for date in dates] == [
        *("0100:00:00", "0100:00:00", "0100:00:01", "0200:00:00"),
    ]
    assert sent_together._date.cache_info().maxsize == 2


class Whole:
    """Body of which nothing is left to send."""

    is_read = True


@pytest.mark.parametrize(("size", "kept"), [(4096, True), (4097, False)])
def test_heads_of_4_kib_are_kept(requests: RequestsOfConnection, size: int, kept: bool) -> None:
    begin = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: "
    head = begin + b"y" * (size - len(begin) - 4) + b"\r\n\r\n"
    assert len(head) == size
    req = requests.next(head)
    requests.exchange(req)
    req.body = Whole()
    assert requests.reach_next(time.monotonic() + 5) == b""
    assert (requests._known is not None) == kept
    found, environ = requests.exchange(requests.next(head))
    assert requests._is_known == kept
    assert isinstance(found, BufferedResponse)
    assert environ["PATH_INFO"] == "/"
    assert requests._parser.req_count == 2


@pytest.mark.parametrize("given", [b"", b"Content-Length: 5\r\n"])
def test_a_body_is_as_long_as_its_head_says_or_empty(
    requests: RequestsOfConnection, given: bytes
) -> None:
    req = requests.next(b"POST / HTTP/1.1\r\nHost: x\r\n" + given + b"\r\n")
    assert length_of(req) == (5 if given else 0)


def test_the_rest_of_a_body_that_does_not_come_leaves_no_next_request() -> None:
    ours, client = socket.socketpair()
    with ours, client:
        requests = RequestsOfConnection(Config(), ours, ADDRESS, ADDRESS)
        req = requests.next(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
        plain = req.body

        class Unread:
            is_read = False
            read = plain.read

        req.body = Unread()
        requests.exchange(req)
        assert requests.reach_next(time.monotonic() + 0.05) is None
