"""Late clients: which ones are late, and the kernel's limits for those that read nothing."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from staging_api.background import BackgroundThread
from staging_api.errors import Unavailable
from staging_api.processes.slow_clients import SlowClients, TimedAnswers, TimedBody
from tests.pauses import patch_sleep


class Over(Exception):
    """Ends the loop of the thread."""


@pytest.fixture
def clients(monkeypatch: pytest.MonkeyPatch) -> SlowClients:
    monkeypatch.setattr(BackgroundThread, "ensure", lambda _thread: None)
    return SlowClients(30, 1000)


def look(clients: SlowClients, monkeypatch: pytest.MonkeyPatch, now: float) -> list[float]:
    """Check the clients once at that time; return the pauses."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) > 1:
            raise Over

    patch_sleep(monkeypatch, sleep)
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with pytest.raises(Over):
        clients._run()
    return pauses


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, client = socket.socketpair()
    with ours, client:
        client.settimeout(0.05)
        yield ours, client


def test_a_connection_is_shut_once_its_time_is_over_and_the_others_go_on(
    clients: SlowClients, monkeypatch: pytest.MonkeyPatch, pair: tuple[socket.socket, socket.socket]
) -> None:
    ours, client = pair
    gone: Any = socket.socket()
    gone.close()
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    for each in (gone, ours):
        clients.begin(each)
    assert look(clients, monkeypatch, 130.0) == [0.5, 0.5]
    with pytest.raises(TimeoutError):
        client.recv(1)
    look(clients, monkeypatch, 130.1)
    assert client.recv(1) == b""
    assert ours.recv(1) == b"", "both directions are shut"
    assert clients._late_at == {}


def test_a_thread_that_is_missing_is_no_error_of_a_request_and_one_of_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[str] = []

    def refuse(thread: BackgroundThread) -> None:
        asked.append(thread._name)
        raise Unavailable("no thread")

    monkeypatch.setattr(BackgroundThread, "ensure", refuse)
    monkeypatch.setattr(BackgroundThread, "check", refuse)
    clients = SlowClients(30, 1000)
    any_client: Any = object()
    clients.begin(any_client)
    assert any_client in clients._late_at
    for wants in (clients.start, clients.check):
        with pytest.raises(Unavailable):
            wants()
    assert asked == ["slow-clients"] * 3


def test_the_kernel_gives_up_who_takes_nothing_and_probes_who_is_silent(
    clients: SlowClients,
) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
    ):
        clients.limit_answers(client)
        assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
        assert [client.getsockopt(socket.IPPROTO_TCP, each) for each in options] == [10, 5, 3]


def test_a_unix_socket_gets_no_tcp_options(
    clients: SlowClients, pair: tuple[socket.socket, socket.socket]
) -> None:
    clients.limit_answers(pair[0])


class Body:
    """Body with this many bytes, or with chunks."""

    def __init__(self, **left: int) -> None:
        self.reader = type("Reader", (), left)()


@pytest.mark.parametrize(
    ("left", "is_read"), [({"length": 0}, True), ({"length": 1}, False), ({}, False)]
)
def test_a_body_is_read_if_it_says_how_long_it_is_and_nothing_is_left(
    clients: SlowClients, left: dict[str, int], is_read: bool
) -> None:
    client: Any = object()
    assert TimedBody(Body(**left), client, clients, 5).is_read == is_read


@pytest.mark.parametrize("name", ["content-length", "Content-Length"])
def test_an_answers_length_is_found_as_it_is_written_and_its_parts_are_closed_in_the_end(
    clients: SlowClients, name: str
) -> None:
    client: Any = object()

    def app(_environ: Any, start_response: Any) -> Any:
        start_response("200 OK", [(name, "2000")])
        return [b""]

    seen: list[Any] = []
    started: Any = lambda *given: seen.append(given)  # noqa: E731 - as the type wants it
    before = time.monotonic()
    TimedAnswers(app, clients)({"gunicorn.socket": client}, started)
    assert 32 <= clients._late_at[client] - before < 33
    assert seen == [("200 OK", [(name, "2000")])]


def test_parts_that_nobody_takes_to_the_end_are_closed(clients: SlowClients) -> None:
    class Parts(list[bytes]):
        closed = False

        def close(self) -> None:
            self.closed = True

    made, client = Parts([b"a", b"b"]), object()
    app: Any = lambda _environ, _start: made  # noqa: E731 - as the type wants it
    start: Any = None
    environ: dict[str, Any] = {"gunicorn.socket": client}
    found: Any = TimedAnswers(app, clients)(environ, start)
    assert next(found) == b"a"
    found.close()
    assert made.closed
