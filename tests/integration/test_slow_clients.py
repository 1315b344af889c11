"""Clients that are slow on purpose: their connections end, and others are served meanwhile."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.service import STAGINGS, Pod, service
from tests.source import PATIENCE_SECONDS

THREADS = 6


@pytest.fixture(scope="module")
def pod(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pod]:
    """A pod with few threads and little patience."""
    given = {"threads": str(THREADS), "waiters": "1", "client_seconds": "1"}
    with service(tmp_path_factory.mktemp("slow"), database_url, **given) as pods:
        yield pods.api()[0]


def connected(pod: Pod, text: str) -> socket.socket:
    host, port = pod.url.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)), timeout=PATIENCE_SECONDS)
    client.sendall(text.encode())
    return client


def trickle(client: socket.socket) -> None:
    """A byte now and then, until the other side has enough; fails if it never has."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    with client, pytest.raises(ConnectionError):
        while time.monotonic() < deadline:
            client.sendall(b"a")
            time.sleep(0.1)


def test_a_head_that_comes_byte_by_byte_is_cut_off(pod: Pod):
    trickle(connected(pod, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Slow: "))


def test_a_body_that_comes_byte_by_byte_is_cut_off(pod: Pod):
    head = f"POST {STAGINGS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    trickle(connected(pod, f"{head}Content-Length: 2000\r\n\r\n{{"))


def test_a_body_that_stops_is_cut_off(pod: Pod):
    head = f"POST {STAGINGS} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    with connected(pod, f"{head}Content-Length: 2000\r\n\r\n{{") as client:
        while client.recv(4096):
            pass


def test_others_are_served_while_as_many_as_there_are_threads_are_slow(pod: Pod):
    slow = [connected(pod, "GET / HTTP/1.1\r\nX-Slow: ") for _ in range(THREADS)]
    assert pod.client.get("/livez").status == 200
    for client in slow:
        client.close()


def test_a_request_in_two_pieces_is_served(pod: Pod):
    with connected(pod, "GET /livez HTTP/1.1\r\nHo") as client:
        client.sendall(b"st: x\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200")


def test_what_is_too_long_to_be_a_request_is_answered_like_any_other(pod: Pod):
    answers = [pod.client.get(f"/static/{'x' * 5000}"), pod.client.get("/livez", X="y" * 20_000)]
    assert [answer.problem for answer in answers] == [
        (414, "invalid_request"),
        (431, "invalid_request"),
    ]
