"""Pieces that another thread makes, ahead of their consumer."""

import threading

import pytest

from staging_api.errors import ArchiveCorrupt
from staging_api.prefetch import prefetched


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


def test_it_works_ahead_by_a_piece_or_two_and_no_further():
    made, second = [], threading.Event()

    def numbers():
        for number in range(50):
            made.append(number)
            if number == 2:
                second.set()
            yield number

    with prefetched(numbers()) as pieces:
        assert next(pieces) == 0
        assert second.wait(10)
        assert len(made) <= 4


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
