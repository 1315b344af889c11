"""Probes of a worker process: their limits, and the threads that answer them."""

import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from staging_api.background import BackgroundThread
from staging_api.processes.api_worker import PROBES
from staging_api.processes.request_heads import Connection
from staging_api.processes.worker_probes import WorkerProbes


def app(_environ: Any, start_response: Any) -> list[bytes]:
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"one", b"two"]


def broken(_environ: Any, _start_response: Any) -> list[bytes]:
    raise ZeroDivisionError


@pytest.fixture
def made() -> Iterator[Callable[[Any], WorkerProbes]]:
    """Return a factory of probes for an application, without running threads."""
    found: list[WorkerProbes] = []

    def make(application: Any) -> WorkerProbes:
        found.append(WorkerProbes("127.0.0.1:0", application))
        return found[-1]

    yield make
    for probes in found:
        heads = probes._heads
        for listener, _ in heads._listeners.values():
            listener.close()
        for connection in heads._open:
            connection.sock.close()
        heads._epoll.close()
        os.close(heads._wake_up)


def test_a_probe_has_five_seconds_and_there_are_256_connections_at_most(made: Any) -> None:
    probes = made(app)
    limits = probes._heads.limits
    assert (limits.head_seconds, limits.idle_seconds, limits.most) == (5.0, 5.0, 256)
    assert (probes._slow.seconds, probes._slow._bytes_per_second) == (5.0, 16 << 10)
    assert set(probes._threads) == set(PROBES)
    assert {(each.most, each._most_parked) for each in probes._threads.values()} == {(1, 0)}
    [(_, for_probes)] = probes._heads._listeners.values()
    assert for_probes


def asked(probes: WorkerProbes, head: bytes) -> tuple[socket.socket, Connection]:
    """Return a client that sent a head, and its connection, for which a thread has work."""
    [(listener, _)] = probes._heads._listeners.values()
    client = socket.create_connection(listener.getsockname(), timeout=10)
    client.sendall(head)
    for _ in range(2):
        probes._heads.turn(5)
    [connection] = probes._heads._open
    return client, connection


@pytest.mark.parametrize(
    ("path", "thread"),
    [(b"/livez", b"/livez"), (b"/metrics", b"/metrics"), (b"/nothing", b"/livez")],
)
def test_each_probe_has_its_thread_and_what_is_none_that_of_the_first(
    made: Any, path: bytes, thread: bytes
) -> None:
    probes = made(app)
    client, _ = asked(probes, b"GET " + path + b" HTTP/1.1\r\n\r\n")
    with client:
        jobs = {name: len(each._jobs) for name, each in probes._threads.items()}
    assert jobs == {name: int(name == thread) for name in PROBES}


def test_an_answer_is_whole_and_the_last_of_its_connection(made: Any) -> None:
    probes = made(app)
    client, connection = asked(probes, b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
    with client:
        probes._serve(connection)
        probes._heads.turn(5)
        answer = b""
        while part := client.recv(4096):
            answer += part
        option = client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        kept = connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
    assert b"connection: close" in answer.lower()
    assert answer.endswith(b"0\r\n\r\n")
    assert b"one" in answer
    assert (option, kept) == (0, 5000)
    assert probes._slow._late_at == {}


@pytest.mark.parametrize("head", [b"GET /livez HTTP/1.1\r\n\r\n", b"nothing\r\n\r\n"])
def test_a_probe_that_cannot_be_answered_ends_its_connection(
    made: Any, head: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    probes = made(broken)
    client, connection = asked(probes, head)
    with client, caplog.at_level(logging.DEBUG):
        probes._serve(connection)
        probes._heads.turn(5)
        assert client.recv(1) == b""
    assert [line for line in caplog.messages if line.startswith("a probe was not answered")]


def test_all_that_answers_is_started_and_polls_once_a_second(
    made: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    probes = made(app)
    started: list[str] = []
    for name, threads in probes._threads.items():
        monkeypatch.setattr(threads, "start", lambda name=name: started.append(name))
    monkeypatch.setattr(BackgroundThread, "ensure", lambda each: started.append(each._name))
    probes.start()
    assert started == [*PROBES, "slow-clients", "worker-probes"]

    turns: list[float] = []

    def turn(seconds: float) -> None:
        turns.append(seconds)
        if len(turns) == 3:
            raise ZeroDivisionError

    monkeypatch.setattr(probes._heads, "turn", turn)
    with pytest.raises(ZeroDivisionError):
        probes._run()
    assert turns == [1.0] * 3
