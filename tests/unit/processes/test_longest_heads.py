"""Maximum length of each part of a request's head, at both sides of each limit."""

import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from gunicorn.http.errors import (  # type: ignore[import-untyped]  # has no types
    LimitRequestHeaders,
    LimitRequestLine,
)

from staging_api.clients import ClientSocket
from staging_api.processes.api_server import ApiServer, address_of_pages
from staging_api.processes.api_worker import ApiWorker
from staging_api.processes.request_heads import Connection
from staging_api.processes.requests_of_connection import RequestsOfConnection
from staging_api.settings import Settings

ADDRESS = ("127.0.0.1", 80)


@pytest.fixture
def pair() -> Iterator[tuple[ClientSocket, socket.socket]]:
    ours, theirs = socket.socketpair()
    client = ClientSocket(fileno=ours.detach())
    with client, theirs:
        theirs.settimeout(30)
        yield client, theirs


def with_line(length: int) -> bytes:
    spare = length - len("GET / HTTP/1.1")
    return b"GET /" + b"x" * spare + b" HTTP/1.1\r\nHost: x\r\n\r\n"


def with_header(length: int) -> bytes:
    """Return a request; the length of a header is that of its line, with the line's end."""
    return b"GET / HTTP/1.1\r\nX: " + b"y" * (length - len("X: \r\n")) + b"\r\n\r\n"


def with_headers(count: int) -> bytes:
    return b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(count)) + b"\r\n"


@pytest.mark.parametrize(
    ("head", "most", "error"),
    [
        (with_line, 4094, LimitRequestLine),
        (with_header, 16 << 10, LimitRequestHeaders),
        (with_headers, 64, LimitRequestHeaders),
    ],
)
def test_each_part_of_a_head_may_have_so_much_and_no_more(
    pair: tuple[ClientSocket, socket.socket],
    head: Callable[[int], bytes],
    most: int,
    error: type[Exception],
) -> None:
    cfg = ApiServer(Settings()).cfg
    RequestsOfConnection(cfg, pair[0], ADDRESS, ADDRESS).next(head(most))
    with pytest.raises(error):
        RequestsOfConnection(cfg, pair[0], ADDRESS, ADDRESS).next(head(most + 1))


@pytest.mark.parametrize(("length", "is_too_long"), [(32 << 10, False), ((32 << 10) + 1, True)])
def test_a_head_has_32_kib_together(length: int, is_too_long: bool) -> None:
    unused: Any = None
    connection = Connection(unused, unused, unused, False, head=bytearray(length))
    assert connection.is_too_long == is_too_long


@pytest.mark.parametrize(("length", "status"), [(4094, 431), (4095, 414)])
def test_of_a_head_that_is_too_long_it_is_said_whether_its_first_line_is(
    pair: tuple[ClientSocket, socket.socket], length: int, status: int
) -> None:
    head = bytearray(with_line(length)) + b"x" * (32 << 10)
    connection = Connection(pair[0], ADDRESS, ADDRESS, False, head=head)
    connection.requests = object()  # not the first request of the connection
    assert not object.__new__(ApiWorker)._answer(connection)
    assert pair[1].recv(4096).startswith(b"HTTP/1.1 %d " % status)


def test_what_gunicorn_is_told() -> None:
    settings = Settings(
        bind="127.0.0.1:1,unix:/x", probes_bind="127.0.0.1:2", workers=3, shutdown_seconds=7
    )
    cfg = ApiServer(settings).cfg
    # The address of the probes is the last one.
    assert cfg.bind == ["127.0.0.1:1", "unix:/x", "127.0.0.1:2"]
    assert (cfg.workers, cfg.timeout, cfg.graceful_timeout) == (3, 60, 7)
    assert cfg.forwarder_headers == []
    assert cfg.worker_class is ApiWorker


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"bind": "127.0.0.1:1,127.0.0.1:2"}, "http://127.0.0.1:1/"),
        ({"bind": "127.0.0.1:1", "public_url": "https://a.example/"}, "https://a.example/"),
        ({"bind": "unix:/x,127.0.0.1:2"}, ""),
        ({"bind": "127.0.0.1:1", "dashboard": False}, ""),
    ],
)
def test_people_are_told_where_the_dashboard_is(given: dict[str, Any], address: str) -> None:
    assert address_of_pages(Settings(**given)) == address
