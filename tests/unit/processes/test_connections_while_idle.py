"""Limits of connections: idle time, incomplete heads, lingering, and bytes sent."""

import os
import select
import socket
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest

from staging_api.processes.request_heads import (
    MOST_HEAD_BYTES,
    Connection,
    ConnectionLimits,
    RequestHeads,
)
from tests.pauses import patch_sleep

HEAD = b"GET /a HTTP/1.1\r\n\r\n"


class Polled:
    """A poll whose events and time come from the test."""

    def __init__(self, most: int = 100) -> None:
        self.now = 1000.0
        self.handed_on: list[Connection] = []
        self.turns = 0
        limits = ConnectionLimits(head_seconds=20, idle_seconds=10, most=most)
        self.heads = RequestHeads(limits, self.handed_on.append, self.count)
        self.clients: list[socket.socket] = []
        self.listeners: list[socket.socket] = []

    def count(self) -> None:
        self.turns += 1

    def listens(self, *, for_probes: bool = False) -> socket.socket:
        found = socket.create_server(("127.0.0.1", 0))
        self.listeners.append(found)
        self.heads.listen(found, for_probes=for_probes)
        return found

    def connect(self, listener: socket.socket, sends: bytes = b"") -> socket.socket:
        client = socket.create_connection(listener.getsockname(), timeout=10)
        self.clients.append(client)
        client.sendall(sends)
        return client

    def accepted(self, listener: socket.socket, sends: bytes = b"") -> Connection:
        """Return an accepted connection from which everything sent was read."""
        before = set(self.heads._open)
        self.connect(listener, sends)
        self.turn()
        [found] = self.heads._open - before
        if sends:
            self.turn()
        return found

    def turn(self) -> None:
        self.heads.turn(5)

    def is_open(self, connection: Connection) -> bool:
        return connection in self.heads._open

    def look(self, seconds: float) -> None:
        """Close the connections that are late this many seconds after the start."""
        self.now = 1000.0 + seconds
        self.heads._look_at = 0.0
        self.heads._close_late()

    def close(self) -> None:
        for each in (*self.clients, *self.listeners, *(c.sock for c in self.heads._open)):
            each.close()
        self.heads._epoll.close()
        os.close(self.heads._wake_up)


@pytest.fixture
def polled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Polled]:
    found = Polled()
    monkeypatch.setattr(time, "monotonic", lambda: found.now)
    yield found
    found.close()


@pytest.fixture
def listener(polled: Polled) -> socket.socket:
    return polled.listens()


def test_a_head_has_its_time_from_the_connection_on_and_again_from_its_first_byte(
    polled: Polled, listener: socket.socket
) -> None:
    silent = polled.accepted(listener)
    half = polled.accepted(listener)
    polled.now += 15
    polled.clients[1].sendall(b"GET")
    polled.turn()
    assert (silent.late_at, half.late_at) == (1020, 1035)
    polled.now += 5
    polled.clients[1].sendall(b" /")
    polled.turn()
    assert half.late_at == 1035, "each byte would give it more"
    polled.look(20)
    assert polled.is_open(silent)
    polled.look(20.5)
    assert not polled.is_open(silent)
    assert polled.is_open(half)
    polled.look(35.5)
    assert polled.heads._open == set()


def test_one_that_is_kept_may_be_idle_and_then_has_the_time_of_a_head(
    polled: Polled, listener: socket.socket
) -> None:
    connection = polled.accepted(listener, HEAD)
    assert polled.handed_on == [connection]
    polled.look(500)
    assert polled.is_open(connection), "a request runs for it"
    connection.head.clear()
    polled.heads.done(connection, keep=True)
    assert connection.late_at == 1510
    connection.head += b""
    polled.clients[0].sendall(b"GET")
    polled.turn()
    assert connection.late_at == 1520


def test_the_next_head_that_came_with_the_last_has_the_time_of_a_head(
    polled: Polled, listener: socket.socket
) -> None:
    connection = polled.accepted(listener, HEAD)
    connection.head[:] = b"GET /b"
    polled.heads.done(connection, keep=True)
    polled.turn()
    assert (bytes(connection.head), connection.late_at) == (b"GET /b", 1020)
    polled.clients[0].sendall(b" HTTP/1.1\r\n\r\n")
    polled.turn()
    assert len(polled.handed_on) == 2


@pytest.mark.parametrize("cut", [1, 2, 3, 4])
def test_the_end_of_a_head_is_found_where_two_reads_cut_it(
    polled: Polled, listener: socket.socket, cut: int
) -> None:
    connection = polled.accepted(listener, HEAD[:-cut])
    assert polled.handed_on == []
    polled.clients[0].sendall(HEAD[-cut:])
    polled.turn()
    assert polled.handed_on == [connection]


@pytest.mark.parametrize(("more", "is_too_long"), [(0, False), (1, True)])
def test_a_head_has_32_kib_at_most(
    polled: Polled, listener: socket.socket, more: int, is_too_long: bool
) -> None:
    connection = polled.accepted(listener)
    connection.head += b"x" * ((32 << 10) + more - 1)
    polled.clients[0].sendall(b"x")
    polled.turn()
    assert connection.is_too_long == is_too_long == bool(polled.handed_on)
    assert MOST_HEAD_BYTES == 32 << 10


def test_a_path_is_found_in_the_first_256_bytes() -> None:
    sock: Any = None
    heads = (b"GET /a?b=c HTTP/1.1", b"GET", b"GET /" + b"x" * 300, b"")
    found = [Connection(sock, None, None, False, bytearray(head)) for head in heads]
    assert [each.path for each in found] == [b"/a", b"", b"/" + b"x" * 251, b""]


def test_one_that_is_answered_for_the_last_time_lingers_for_two_seconds(
    polled: Polled, listener: socket.socket
) -> None:
    connection = polled.accepted(listener, HEAD)
    polled.heads.done(connection, keep=False)
    polled.turn()
    assert polled.clients[0].recv(1) == b""
    assert (connection.lingers, connection.late_at) == (True, 1002)
    polled.look(2)
    assert polled.is_open(connection)
    polled.look(2.5)
    assert not polled.is_open(connection)
    assert connection.sock.fileno() == -1


@pytest.mark.parametrize(("sends", "stays"), [(64 << 10, True), ((64 << 10) + 1, False)])
def test_of_one_that_lingers_64_kib_are_thrown_away(
    polled: Polled, listener: socket.socket, sends: int, stays: bool
) -> None:
    connection = polled.accepted(listener, HEAD)
    polled.heads.done(connection, keep=False)
    polled.turn()
    connection.lingered_bytes = sends - 10
    polled.clients[0].sendall(b"x" * 10)
    polled.turn()
    assert connection.lingered_bytes == sends
    assert polled.is_open(connection) == stays
    polled.clients[0].close()
    if stays:
        polled.turn()
        assert not polled.is_open(connection)


def test_one_whose_client_is_gone_does_not_linger(polled: Polled, listener: socket.socket) -> None:
    connection = polled.accepted(listener, HEAD)
    gone = struct.pack("ii", 1, 0)  # closed as by a killed client: without a proper end
    polled.clients[0].setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, gone)
    polled.clients[0].close()
    polled.heads.done(connection, keep=False)
    polled.turn()
    assert not polled.is_open(connection)
    assert polled.heads._polled == {}


def test_deadlines_are_looked_at_ten_times_a_second(
    polled: Polled, listener: socket.socket
) -> None:
    connection = polled.accepted(listener)
    connection.late_at = 0.0
    polled.heads._look_at = 1000.05
    polled.heads._close_late()
    assert polled.is_open(connection)
    polled.now = 1000.05
    polled.heads._close_late()
    assert not polled.is_open(connection)
    assert polled.heads._look_at == 1000.05 + 0.1


def test_while_as_many_as_may_be_are_served_no_other_is_accepted(
    polled: Polled, listener: socket.socket
) -> None:
    polled.listens(for_probes=True)
    served = [polled.accepted(listener, HEAD) for _ in range(2)]
    polled.heads.limits.most = 2
    polled.heads.wake()
    polled.turn()
    assert polled.heads._is_full
    polled.connect(listener)
    polled.heads.wake()
    polled.turn()
    assert polled.heads._open == set(served)
    # A returned connection wakes the poll, because there may be room again.
    polled.heads.limits.most = 4
    served[0].head.clear()
    polled.heads.done(served[0], keep=True)
    assert select.select([polled.heads._wake_up], [], [], 0)[0]
    polled.turn()
    polled.turn()
    assert len(polled.heads._open) == 3
    served[1].head.clear()
    polled.heads.done(served[1], keep=True)
    assert not select.select([polled.heads._wake_up], [], [], 0)[0]


def test_only_connections_for_which_requests_may_run_are_waited_for(
    polled: Polled, listener: socket.socket
) -> None:
    probe = polled.accepted(polled.listens(for_probes=True), b"GET /livez HTTP/1.1\r\n\r\n")
    other = polled.accepted(listener)
    assert (probe.is_for_probes, other.is_for_probes) == (True, False)
    assert polled.heads.waited_for == 1
    assert polled.handed_on == [probe]


def test_at_the_end_of_listening_probes_are_served_and_idle_ones_have_less_time(
    polled: Polled, listener: socket.socket
) -> None:
    for_probes = polled.listens(for_probes=True)
    idle, half = polled.accepted(listener), polled.accepted(listener, b"GET")
    late = polled.accepted(listener)
    late.late_at = 1001.0
    came = polled.connect(listener)
    polled.heads.stop_listening(idle_seconds=2)
    assert len(polled.heads._open) == 4, "it was made already"
    assert came.fileno() != -1
    assert (idle.late_at, half.late_at, late.late_at) == (1002, 1020, 1001)
    assert (listener.fileno(), polled.heads.limits.idle_seconds) == (-1, 2)
    assert polled.accepted(for_probes).is_for_probes
    assert polled.heads.waited_for == 4


def test_a_turn_returns_when_it_is_woken_and_says_that_all_are_handed_on(
    polled: Polled,
) -> None:
    assert select.select([polled.heads._wake_up], [], [], 0)[0] == []
    polled.heads.wake()
    polled.heads.turn(60)
    assert polled.turns == 1
    assert select.select([polled.heads._wake_up], [], [], 0)[0] == []
    assert not os.get_blocking(polled.heads._wake_up)
    assert not os.get_inheritable(polled.heads._wake_up)


def test_where_no_descriptor_is_left_a_hundredth_of_a_second_is_waited(
    polled: Polled, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    patch_sleep(monkeypatch, pauses.append)

    class Scarce:
        def accept(self) -> Any:
            raise OSError(24, "Too many open files")

    assert not polled.heads._accept(Scarce(), for_probes=False)
    assert pauses == [0.01]


@pytest.mark.parametrize("error", [BlockingIOError, ConnectionAbortedError])
def test_where_none_waits_to_be_accepted_no_other_is_closed(
    polled: Polled, listener: socket.socket, error: type[OSError]
) -> None:
    connection = polled.accepted(listener)

    class Empty:
        def accept(self) -> Any:
            raise error

    # A closed connection may hide others behind it, which are accepted next.
    others_may_wait = error is ConnectionAbortedError
    assert polled.heads._accept(Empty(), for_probes=False) == others_may_wait
    assert polled.is_open(connection)


def test_an_accepted_connection_waits_for_its_bytes_and_knows_where_it_came_to(
    polled: Polled, listener: socket.socket
) -> None:
    connection = polled.accepted(listener)
    assert connection.sock.getblocking()
    assert connection.server == listener.getsockname()
    assert connection.address == polled.clients[0].getsockname()
    assert not listener.getblocking()
