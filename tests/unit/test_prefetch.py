"""Prefetch: items made by another thread, ahead of their consumer."""

import threading
from contextlib import closing

import pytest

from staging_api.errors import ArchiveCorrupt
from staging_api.prefetch import BoundedQueue, prefetched
from tests.service import eventually


def test_pieces_come_whole_and_in_order_from_another_thread():
    makers = set()

    def made():
        for number in range(50):
            makers.add(threading.current_thread())
            yield number

    with prefetched(made()) as pieces:
        assert list(pieces) == list(range(50))
    assert threading.current_thread() not in makers
    assert not any(thread.is_alive() for thread in makers)


def test_it_works_ahead_by_two_pieces_and_no_further():
    made: list[int] = []
    queue: BoundedQueue[int] = BoundedQueue()

    def numbers():
        for number in range(50):
            made.append(number)
            yield number

    thread = queue.feed(lambda: closing(numbers()), "numbers")
    pieces = queue.items()
    for taken in range(3):
        # Two items are queued, and the thread holds one until there is space.
        eventually(lambda: waits_for_room(queue), "it does not wait for room")
        assert made == list(range(taken + 3))
        assert next(pieces) == taken
    eventually(lambda: waits_for_room(queue), "it does not wait for room")
    queue.abandon()
    thread.join(30)
    assert not thread.is_alive()
    assert len(made) == 6


def waits_for_room(queue: BoundedQueue[int]) -> bool:
    return bool(queue._changed._waiters)  # type: ignore[attr-defined]


def test_a_taker_that_waits_long_looks_at_what_it_is_given_to_check():
    queue: BoundedQueue[int] = BoundedQueue()
    looked, go_on = [], threading.Event()

    def numbers():
        assert go_on.wait(30)
        yield 1

    def check():
        looked.append(True)
        go_on.set()

    thread = queue.feed(lambda: closing(numbers()), "numbers")
    assert list(queue.items(check)) == [1]
    thread.join()
    assert looked


def test_a_taker_looks_at_nothing_else_as_long_as_pieces_come(monkeypatch):
    monkeypatch.setattr("staging_api.prefetch._CHECK_SECONDS", 3600)
    queue: BoundedQueue[int] = BoundedQueue()
    looked = []

    def numbers():
        for number in range(3):
            threading.Event().wait(0.05)
            yield number

    thread = queue.feed(lambda: closing(numbers()), "numbers")
    assert list(queue.items(lambda: looked.append(True))) == [0, 1, 2]
    thread.join()
    assert not looked


def test_what_ends_the_making_is_raised_to_the_taker_after_the_pieces_before_it():
    def broken():
        yield 1
        raise ArchiveCorrupt("the tar is damaged")

    taken = []
    with pytest.raises(ArchiveCorrupt), prefetched(broken()) as pieces:
        for piece in pieces:
            taken.append(piece)  # noqa: PERF402 - what came before the error counts
    assert taken == [1]


def test_when_the_taker_fails_the_maker_is_closed_before_the_block_ends():
    closed = []

    def endless():
        try:
            while True:
                yield b"more"
        finally:
            closed.append(threading.current_thread())

    with pytest.raises(ArchiveCorrupt), prefetched(endless()) as pieces:
        next(pieces)
        raise ArchiveCorrupt("a member must not be unpacked")
    assert len(closed) == 1
    assert not closed[0].is_alive()
