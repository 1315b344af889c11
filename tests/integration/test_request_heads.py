"""Heads of requests, read from real connections without a thread for each."""

import errno
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from staging_api.processes import request_heads
from staging_api.processes.request_heads import (
    MOST_HEAD_BYTES,
    Connection,
    ConnectionLimits,
    RequestHeads,
)
from tests.pauses import patch_sleep
from tests.service import eventually

HEAD = b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
PATIENCE_SECONDS = 30


class Poll:
    """A running poll, the connections that it handed on, and its address."""

    def __init__(self, terms: ConnectionLimits) -> None:
        self.handed_on: list[Connection] = []
        self.heads = RequestHeads(terms, self.handed_on.append, lambda: None)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = self.listener.getsockname()
        self.heads.listen(self.listener, for_probes=False)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self) -> None:
        while not self.over.is_set():
            self.heads.turn(0.05)

    def connect(self, sends: bytes = b"") -> socket.socket:
        client = socket.create_connection(self.address, timeout=PATIENCE_SECONDS)
        client.sendall(sends)
        return client

    def wait_for(self, count: int) -> list[Connection]:
        over = threading.Event()
        for _ in range(PATIENCE_SECONDS * 100):
            if len(self.handed_on) >= count:
                return self.handed_on
            over.wait(0.01)
        raise AssertionError(f"{len(self.handed_on)} heads, not {count}")


@contextmanager
def polling(terms: ConnectionLimits) -> Iterator[Poll]:
    found = Poll(terms)
    found.thread.start()
    try:
        yield found
    finally:
        found.over.set()
        found.thread.join()
        found.listener.close()
        for connection in [*found.handed_on, *found.heads._open]:
            connection.sock.close()


@pytest.fixture
def poll() -> Iterator[Poll]:
    with polling(ConnectionLimits(head_seconds=30, idle_seconds=30, most=1000)) as found:
        yield found


class Scarce:
    """A listener that fails this many times to accept, as if no file descriptor were left."""

    def __init__(self, listener: socket.socket, times: int, number: int = errno.EMFILE) -> None:
        self._listener, self.times, self._number = listener, times, number

    def __getattr__(self, name: str) -> Any:
        return getattr(self._listener, name)

    def accept(self) -> Any:
        if self.times:
            self.times -= 1
            raise OSError(self._number, os.strerror(self._number))
        return self._listener.accept()


def is_closed(client: socket.socket) -> bool:
    """Wait until the other end closes the connection; return whether it does."""
    try:
        return client.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_head_is_handed_on_when_it_is_whole_however_it_is_cut(poll):
    for cut in range(1, len(HEAD)):
        with poll.connect(HEAD[:cut]) as client, poll.connect(b"GET /half") as half:
            client.sendall(HEAD[cut:])
            connection = poll.wait_for(cut)[cut - 1]
            assert bytes(connection.head) == HEAD
            assert connection.path == b"/a"
            half.close()


def test_bytes_after_a_head_are_the_next_request_of_the_connection(poll):
    with poll.connect(HEAD + b"GET /b?c=d HTTP/1.1\r\n\r\n"):
        (connection,) = poll.wait_for(1)
        del connection.head[: len(HEAD)]
        poll.heads.done(connection, keep=True)
        assert poll.wait_for(2)[1].path == b"/b"


def test_a_head_that_is_too_long_is_handed_on_to_be_refused(poll):
    with poll.connect(b"GET / HTTP/1.1\r\nX: " + b"y" * (MOST_HEAD_BYTES + 1)):
        (connection,) = poll.wait_for(1)
        assert connection.is_too_long


def test_a_connection_that_is_not_kept_is_closed_when_its_client_has_read(poll):
    with poll.connect(HEAD) as client:
        (connection,) = poll.wait_for(1)
        connection.sock.sendall(b"the answer")
        client.sendall(b"unread" * 1000)
        poll.heads.done(connection, keep=False)
        received = b""
        while part := client.recv(4096):
            received += part
        assert received == b"the answer"


def test_what_a_client_sends_behind_the_last_answer_is_passed_over_up_to_64_kib(poll, monkeypatch):
    monkeypatch.setattr(request_heads, "_LINGER_SECONDS", 1000.0)
    with poll.connect(HEAD) as client:
        (connection,) = poll.wait_for(1)
        poll.heads.done(connection, keep=False)
        client.sendall(bytes(64 << 10))
        eventually(lambda: connection.lingered_bytes == 64 << 10, "it is not read")
        assert connection in poll.heads._open
        client.sendall(b"x")
        eventually(lambda: connection not in poll.heads._open, "it is read on")


def test_heads_and_silence_have_an_end_and_those_served_have_none():
    with polling(ConnectionLimits(head_seconds=0.2, idle_seconds=0.2, most=1000)) as poll:
        with poll.connect() as silent, poll.connect(b"GET /") as half, poll.connect(HEAD) as served:
            (connection,) = poll.wait_for(1)
            assert is_closed(silent)
            assert is_closed(half)
            connection.sock.sendall(b"late")
            assert served.recv(4) == b"late"
            connection.head.clear()
            poll.heads.done(connection, keep=True)
            assert is_closed(served)


def test_the_oldest_that_waits_makes_room_and_those_served_do_not():
    with polling(ConnectionLimits(head_seconds=30, idle_seconds=30, most=4)) as poll:
        served = [poll.connect(HEAD) for _ in range(2)]
        poll.wait_for(2)
        first = poll.connect(b"GET /first")
        others = [poll.connect(b"GET /other") for _ in range(4)]
        assert is_closed(first)
        last = poll.connect(HEAD)
        poll.wait_for(3)
        for connection in poll.handed_on:
            connection.sock.sendall(b"here")
        assert [client.recv(4) for client in (*served, last)] == [b"here"] * 3
        for client in (*served, first, *others, last):
            client.close()


def test_the_last_permitted_connection_is_served_and_the_next_one_waits():
    with polling(ConnectionLimits(head_seconds=30, idle_seconds=30, most=3)) as poll:
        served = [poll.connect(HEAD) for _ in range(2)]
        poll.wait_for(2)
        last = poll.connect(HEAD[:5])
        eventually(lambda: poll.heads.waited_for == 3, "it is not accepted")
        last.sendall(HEAD[5:])
        poll.wait_for(3)
        # The connection waits in the kernel until one of the three is answered.
        waiting = poll.connect(HEAD)
        eventually(lambda: poll.heads._is_full, "it accepts more")
        for connection in poll.handed_on[:3]:
            connection.sock.sendall(b"here")
        assert [client.recv(4) for client in (*served, last)] == [b"here"] * 3
        poll.handed_on[0].head.clear()
        poll.heads.done(poll.handed_on[0], keep=True)
        poll.wait_for(4)
        for client in (*served, last, waiting):
            client.close()


def test_a_probe_is_answered_while_requests_run_for_all_connections():
    with polling(ConnectionLimits(head_seconds=30, idle_seconds=30, most=2)) as poll:
        served = [poll.connect(HEAD) for _ in range(2)]
        poll.wait_for(2)
        with socket.create_server(("127.0.0.1", 0)) as probes:
            poll.heads.listen(probes, for_probes=True)
            with socket.create_connection(probes.getsockname(), timeout=30) as probe:
                eventually(lambda: len(poll.heads._open) == 3, "it is not accepted")
                poll.heads.wake()
                probe.sendall(HEAD)
                poll.wait_for(3)
        for client in served:
            client.close()


def test_after_the_end_of_listening_only_earlier_connections_are_served(poll):
    with poll.connect(b"GET /a HT") as half:
        with poll.connect(HEAD):
            poll.wait_for(1)
        poll.over.set()
        poll.heads.wake()
        poll.thread.join()  # from here on this thread polls; never two at once
        poll.heads.stop_listening(idle_seconds=0.1)
        with pytest.raises(ConnectionRefusedError):
            poll.connect()
        half.sendall(b"TP/1.1\r\n\r\n")
        while len(poll.handed_on) < 2:
            poll.heads.turn(0.05)


def ended(poll: Poll) -> None:
    """End the polling thread; from here on the calling thread polls, never two at once."""
    poll.over.set()
    poll.heads.wake()
    poll.thread.join()


def test_at_the_end_of_listening_the_oldest_makes_room_for_one_that_is_made_already(poll):
    with poll.connect(b"GET /oldest") as oldest:
        eventually(lambda: poll.heads.waited_for == 1, "it is not accepted")
        ended(poll)
        poll.heads._listeners[poll.listener.fileno()] = (Scarce(poll.listener, 1), False)
        with poll.connect(HEAD):
            poll.heads.stop_listening(idle_seconds=30)
            assert is_closed(oldest)
            while not poll.handed_on:
                poll.heads.turn(0.05)


def test_the_end_of_listening_does_not_wait_for_connections_that_cannot_be_accepted(
    poll, monkeypatch
):
    ended(poll)
    scarce = Scarce(poll.listener, 100)
    poll.heads._listeners[poll.listener.fileno()] = (scarce, False)
    pauses: list[float] = []
    patch_sleep(monkeypatch, pauses.append)
    with poll.connect():
        poll.heads.stop_listening(idle_seconds=30)
    assert scarce.times == 99
    assert len(pauses) == 1, "it would be tried without a rest"


def test_an_aborted_connection_does_not_hide_the_next_at_the_end_of_listening(poll):
    ended(poll)
    scarce = Scarce(poll.listener, 1, errno.ECONNABORTED)
    poll.heads._listeners[poll.listener.fileno()] = (scarce, False)
    with poll.connect(HEAD):
        poll.heads.stop_listening(idle_seconds=30)
        assert poll.heads.waited_for == 1
