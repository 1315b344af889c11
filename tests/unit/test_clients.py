"""Connection of a waiting request: detection of a closed client, and parking of the thread."""

import select
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from staging_api.clients import ClientSocket, ConnectedClient, DisconnectWatcher, check_connected
from staging_api.errors import ClientGone
from tests.service import eventually

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
#: More bytes than a socket pair buffers for a peer that does not read.
MUCH = 8 << 20
#: Number of bytes that the kernel certainly accepts at once.
SMALL = 128 << 10


class Parking:
    """Counter of the waits that are parked now, and of all waits so far."""

    def __init__(self) -> None:
        self.now = self.all = 0

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self.now, self.all = self.now + 1, self.all + 1
        try:
            yield
        finally:
            self.now -= 1


class World:
    """A watcher with two connections; `theirs` is the peer of the first, `other` the second."""

    def __init__(self, *, skips_continue: bool = True) -> None:
        self.watcher, self.parking = DisconnectWatcher(), Parking()
        self.watcher.start()
        (self.ours, self.theirs), pair = socket.socketpair(), socket.socketpair()
        self.sockets = [self.ours, self.theirs, *pair]
        self.client = self._client(self.ours, skips_continue=skips_continue)
        self.other = self._client(pair[0], skips_continue=skips_continue)
        self.woken, self.other_woken = threading.Event(), threading.Event()

    def _client(self, sock: socket.socket, *, skips_continue: bool) -> ConnectedClient:
        return ConnectedClient(sock, self.watcher, self.parking, skips_continue=skips_continue)

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Let both connections wait."""
        with self.client.waiting(self.woken.set), self.other.waiting(self.other_woken.set):
            yield

    def is_watched(self) -> bool:
        """Return whether the connection is registered: removing an unregistered one is an error."""
        try:
            self.watcher._epoll.modify(self.ours.fileno(), 0)
        except FileNotFoundError:
            return False
        return True


@pytest.fixture
def worlds() -> Iterator[ExitStack]:
    """Yield the stack that closes the connections of a test."""
    with ExitStack() as stack:
        yield stack


def world(worlds: ExitStack, *, skips_continue: bool = True) -> World:
    made = World(skips_continue=skips_continue)
    for sock in made.sockets:
        worlds.callback(sock.close)
    return made


def test_a_client_that_closes_wakes_its_request_and_no_other(worlds: ExitStack) -> None:
    found = world(worlds)
    with found.waiting():
        assert found.parking.now == 2
        assert found.is_watched()
        found.theirs.close()
        assert found.woken.wait(30)
        with pytest.raises(ClientGone):
            check_connected(found.client)
        check_connected(found.other)
        assert not found.is_watched()
    assert not found.other_woken.is_set()
    assert found.parking.now == 0


def test_a_connection_is_watched_only_while_its_request_waits(worlds: ExitStack) -> None:
    found = world(worlds)
    with found.waiting():
        assert found.is_watched()
    assert not found.is_watched()
    # The watcher does not keep the client and its connection, either.
    assert not found.watcher._watched
    found.theirs.close()
    with found.other.waiting(found.other_woken.set):
        found.client.note(select.EPOLLHUP)
    check_connected(found.client)
    assert not found.woken.is_set()


def test_one_that_has_closed_its_half_is_asked_once_and_still_reads(worlds: ExitStack) -> None:
    found = world(worlds)
    with found.waiting():
        found.theirs.shutdown(socket.SHUT_WR)
        found.theirs.settimeout(30)
        assert found.theirs.recv(1000) == CONTINUE
    with found.waiting():
        # The end of its input is reported only once, whatever happens to the other connection.
        found.sockets[-1].close()
        assert found.other_woken.wait(30)
        found.theirs.setblocking(False)
        with pytest.raises(BlockingIOError):
            found.theirs.recv(1000)
    check_connected(found.client)
    assert not found.woken.is_set()


def test_one_that_would_not_skip_the_question_is_gone_with_its_half(worlds: ExitStack) -> None:
    found = world(worlds, skips_continue=False)
    with found.waiting():
        found.theirs.shutdown(socket.SHUT_WR)
        assert found.woken.wait(30)
    assert found.client.gone
    found.theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        found.theirs.recv(1000)


def test_once_an_answer_has_begun_its_request_is_woken_and_nothing_is_sent(
    worlds: ExitStack,
) -> None:
    found = world(worlds)
    found.client.begin_answer()
    with found.waiting():
        found.theirs.shutdown(socket.SHUT_WR)
        assert found.woken.wait(30)
    check_connected(found.client)
    found.theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        found.theirs.recv(1000)


@pytest.fixture
def parked(worlds: ExitStack) -> tuple[ClientSocket, socket.socket, Parking]:
    """Return a connection whose waits are counted, and its peer."""
    pair = socket.socketpair()
    ours = ClientSocket(fileno=pair[0].detach())
    worlds.callback(ours.close)
    worlds.callback(pair[1].close)
    parking = ours.parked = Parking()
    return ours, pair[1], parking


def test_only_a_read_that_waits_is_parked(
    parked: tuple[ClientSocket, socket.socket, Parking],
) -> None:
    ours, theirs, parking = parked
    theirs.send(b"at once")
    assert (ours.recv(7), parking.all) == (b"at once", 0)
    with ThreadPoolExecutor(1) as pool:
        got = pool.submit(ours.recv, 5)
        eventually(lambda: parking.now == 1, "it is not parked")
        theirs.send(b"later")
        assert got.result() == b"later"
    assert (parking.now, parking.all) == (0, 1)
    ours.settimeout(0)
    with pytest.raises(BlockingIOError):
        ours.recv(1)
    assert parking.all == 1


def read_to_the_end(sock: socket.socket) -> bytes:
    """Read everything until the peer ends the stream."""
    sock.settimeout(30)
    return b"".join(iter(lambda: sock.recv(1 << 20), b""))


def test_only_a_write_that_waits_is_parked_and_every_byte_is_sent_once(
    parked: tuple[ClientSocket, socket.socket, Parking],
) -> None:
    ours, theirs, parking = parked
    ours.sendall(b"small")
    assert (theirs.recv(5), parking.all) == (b"small", 0)
    data = bytes(range(256)) * (MUCH // 256)
    with ThreadPoolExecutor(2) as pool:
        sent = pool.submit(ours.sendall, data)
        eventually(lambda: parking.now == 1, "it is not parked")
        got = pool.submit(read_to_the_end, theirs)
        sent.result()
        ours.shutdown(socket.SHUT_WR)
        assert got.result() == data
    assert (parking.now, parking.all) == (0, 1)


def test_a_write_that_finds_no_room_at_all_sends_every_byte_once_there_is(
    parked: tuple[ClientSocket, socket.socket, Parking],
) -> None:
    ours, theirs, parking = parked
    before = 0
    with suppress(BlockingIOError):
        while True:
            before += ours.send(b"-" * 4096, socket.MSG_DONTWAIT)
    with ThreadPoolExecutor(2) as pool:
        sent = pool.submit(ours.sendall, b"abc")
        eventually(lambda: parking.now == 1, "it is not parked")
        got = pool.submit(read_to_the_end, theirs)
        sent.result()
        ours.shutdown(socket.SHUT_WR)
        assert got.result() == b"-" * before + b"abc"


@pytest.mark.parametrize(
    ("size", "offset", "parks"),
    [(SMALL, 0, 0), (SMALL + 1, 0, 1), (SMALL + 1, 7, 0)],
)
def test_a_large_file_is_parked_from_the_start_and_sent_whole(
    parked: tuple[ClientSocket, socket.socket, Parking],
    tmp_path: Path,
    size: int,
    offset: int,
    parks: int,
) -> None:
    ours, theirs, parking = parked
    data = bytes(each % 251 for each in range(size))
    with ThreadPoolExecutor(1) as pool, file_of(tmp_path, data) as file:
        got = pool.submit(read_to_the_end, theirs)
        ours.sendfile(file, offset, size - offset)
        ours.shutdown(socket.SHUT_WR)
        assert got.result() == data[offset:]
    assert parking.all == parks


def test_a_file_whose_length_is_not_told_may_be_large(
    parked: tuple[ClientSocket, socket.socket, Parking], tmp_path: Path
) -> None:
    ours, theirs, parking = parked
    with file_of(tmp_path, b"small") as file:
        ours.sendfile(file)
    assert (theirs.recv(10), parking.all) == (b"small", 1)


def file_of(folder: Path, data: bytes) -> BinaryIO:
    path = folder / "file"
    path.write_bytes(data)
    return path.open("rb")
