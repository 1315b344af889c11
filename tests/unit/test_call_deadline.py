"""Deadline of a call: its connections are shut down, and no others."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from staging_api.call_deadline import limited

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    made = [socket.socketpair() for _ in range(3)]
    for one, other in made:
        other.setblocking(False)
        one.settimeout(60)
    yield made
    for one, other in made:
        one.close()
        other.close()


def is_shut(pair: Pair) -> bool:
    """Return whether the peer has received the end of the stream."""
    try:
        return pair[1].recv(1) == b""
    except BlockingIOError:
        return False


def open_files() -> set[str]:
    """Return the open descriptors of this process."""
    return {each.name for each in Path("/proc/self/fd").iterdir()}


def test_connections_of_before_and_after_the_deadline_are_shut_down(pairs: list[Pair]):
    with limited(600) as deadline:
        deadline.add(pairs[0][0])
        assert (deadline.over, is_shut(pairs[0])) == (False, False)
        deadline.expire()
        deadline.add(pairs[1][0])
        assert deadline.over
    assert [is_shut(pair) for pair in pairs] == [True, True, False]


def test_a_call_that_takes_too_long_is_ended_by_itself(pairs: list[Pair]):
    with limited(0.01) as deadline:
        deadline.add(pairs[0][0])
        # Returns when the connection is shut down.
        assert pairs[0][0].recv(1) == b""
        assert deadline.over
    assert not is_shut(pairs[1])


def test_a_call_that_ends_in_time_leaves_its_connections_and_nothing_else(pairs: list[Pair]):
    threads, files = set(threading.enumerate()), open_files()
    with limited(600) as deadline:
        for one, _ in pairs[:2]:
            deadline.add(one)
        (timer,) = set(threading.enumerate()) - threads
        assert timer.daemon
    timer.join(60)
    assert not timer.is_alive()
    assert open_files() == files
    assert not any(is_shut(pair) for pair in pairs)


def test_a_wait_is_as_long_as_what_is_left_or_as_the_library_would_wait():
    with limited(600) as deadline:
        assert 0 < deadline.left(None) <= 600
        assert deadline.left(5) == 5
    with limited(-1) as deadline:
        # Not 0, which would disable the wait.
        assert (deadline.left(None), deadline.left(5)) == (0.001, 0.001)
