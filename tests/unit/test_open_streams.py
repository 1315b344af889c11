"""Streams over socket pairs: limits, slow and lost readers, ends."""

import random
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import pytest

from staging_api import metrics
from staging_api.errors import ShuttingDown, TooManyRequests, Unavailable
from staging_api.open_stream import OpenStream, first_bytes
from staging_api.open_streams import OpenStreams
from tests.service import eventually
from tests.stream_reader import StreamReader

OPENED: list[socket.socket] = []


@pytest.fixture(autouse=True)
def _connections_are_closed() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


class Reader(StreamReader):
    """Our end of a connection, and the stream at the other end."""

    def __init__(
        self, streams: OpenStreams, *topics: str, chunked: bool = False, seconds: float = 60
    ) -> None:
        self.allowed = True
        self.given_back = False
        self.sock, self.theirs = socket.socketpair()
        OPENED.extend((self.sock, self.theirs))
        self.theirs.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self.sock.settimeout(20)
        self.stream = streams.admit("alice", topics, seconds, lambda: self.allowed)
        self.stream.connect(self.theirs, chunked=chunked, given_back=self._give_back)
        streams.begin(self.stream)

    def _give_back(self) -> None:
        self.given_back = True
        self.theirs.close()


@contextmanager
def open_streams(**given: float) -> Iterator[OpenStreams]:
    made = OpenStreams(**given)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


def open_now() -> float:
    """Return the metric of this process's open streams."""
    ((sample,),) = (family.samples for family in metrics.EVENT_STREAMS.collect())
    return float(sample.value)


def test_a_metric_counts_the_streams_that_are_open() -> None:
    before = open_now()
    with open_streams() as streams:
        Reader(streams, "locks")
        refused = streams.admit("bob", ["work"], 60, lambda: True)
        assert open_now() == before + 2
        streams.refuse(refused)
        streams.refuse(refused)
        assert open_now() == before + 1
    assert open_now() == before


def test_a_reader_is_told_only_the_topics_that_it_follows() -> None:
    with open_streams() as streams:
        one, other = Reader(streams, "locks", "work"), Reader(streams, "apt")
        streams.tell(["work", "locks", "store"])
        streams.tell(["apt"])
        assert one.read_until(b"\n\n") == b"event: changed\ndata: locks work\n\n"
        assert other.read_until(b"\n\n") == b"event: changed\ndata: apt\n\n"


def test_messages_and_the_end_are_chunks_where_the_answer_has_chunks() -> None:
    with open_streams() as streams:
        reader = Reader(streams, "work", chunked=True)
        streams.tell(["work"])
        message = b"event: changed\ndata: work\n\n"
        assert reader.read_until(b"\n\n\r\n") == b"%x\r\n%b\r\n" % (len(message), message)
        streams.close()
        assert reader.rest() == b"0\r\n\r\n"
        assert reader.given_back


def test_a_comment_is_sent_while_nothing_changes() -> None:
    with open_streams(beat_seconds=0.05) as streams:
        reader = Reader(streams, "work")
        assert reader.read_until(b"\n\n") == b": still here\n\n"
        assert len(streams) == 1


def test_a_reader_that_hangs_up_is_forgotten_at_once_and_the_other_is_served() -> None:
    with open_streams(beat_seconds=1000) as streams:
        gone, other = Reader(streams, "work"), Reader(streams, "work")
        gone.sock.close()
        eventually(lambda: len(streams) == 1, "it was not noticed")
        assert gone.given_back
        assert not other.given_back
        streams.tell(["work"])
        assert other.read_until(b"\n\n")


def test_a_connection_that_is_given_back_is_watched_no_more() -> None:
    with open_streams(beat_seconds=1000) as streams:
        gone, other = Reader(streams, "work"), Reader(streams, "work")
        # Given back, but not closed yet: another reader gets its further bytes.
        gone.stream.connect(gone.theirs, chunked=False, given_back=lambda: None)
        gone.sock.close()
        eventually(lambda: len(streams) == 1, "it was not noticed")
        with pytest.raises(FileNotFoundError):
            streams._epoll.modify(gone.theirs.fileno(), 0)
        streams._epoll.modify(other.theirs.fileno(), 0)


def test_a_connection_that_is_closed_before_its_stream_begins_ends_alone() -> None:
    with open_streams(beat_seconds=1000) as streams:
        other = Reader(streams, "work")
        closed = streams.admit("bob", ["work"], 60, lambda: True)
        pair = socket.socketpair()
        given_back: list[bool] = []
        closed.connect(pair[0], chunked=False, given_back=lambda: given_back.append(True))
        for each in pair:
            each.close()
        streams.begin(closed)
        eventually(lambda: given_back == [True], "it was not given back")
        assert len(streams) == 1
        streams.tell(["work"])
        assert other.read_until(b"\n\n")


def test_news_wakes_the_thread_once() -> None:
    with open_streams(beat_seconds=1000) as streams:
        reader = Reader(streams, "work")
        streams.tell(["work"])
        assert reader.read_until(b"\n\n")
        poll = select.poll()
        poll.register(streams._wake_up, select.POLLIN)
        eventually(lambda: not poll.poll(0), "it is awake for ever")


def test_browsers_are_told_to_come_back_after_two_to_six_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for chosen, told in ((min, b"retry: 2000\n\n"), (max, b"retry: 6000\n\n")):
        monkeypatch.setattr(random, "randint", lambda *bounds, chosen=chosen: chosen(bounds))
        assert first_bytes() == told


def test_a_stream_that_cannot_be_sent_what_is_new_ends_alone() -> None:
    with open_streams(beat_seconds=1000) as streams:
        broken, other = Reader(streams, "work"), Reader(streams, "work")
        broken.theirs.shutdown(socket.SHUT_WR)
        streams.tell(["work"])
        assert other.read_until(b"\n\n")
        eventually(lambda: len(streams) == 1, "it was not ended")
        assert broken.given_back
        assert not other.given_back


def test_a_reader_that_takes_nothing_is_cut_off_and_costs_one_message(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("staging_api.open_stream.SLOW_SECONDS", 0.1)
    with open_streams() as streams:
        slow, other = Reader(streams, "work"), Reader(streams, "work")
        other.sock.settimeout(0.01)

        def tell_on() -> bool:
            streams.tell(["work"])
            with suppress(TimeoutError):
                other.sock.recv(1 << 16)
            return slow.given_back

        eventually(tell_on, "it was not cut off")
        assert len(streams) == 1
        assert not other.given_back


def test_a_reader_that_takes_nothing_is_cut_off_although_nothing_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("staging_api.open_stream.SLOW_SECONDS", 0.1)
    much = "much" * 100_000
    with open_streams(beat_seconds=1000) as streams:
        slow, other = Reader(streams, much), Reader(streams, "work")
        streams.tell([much])
        eventually(lambda: slow.given_back, "it was not cut off")
        assert len(streams) == 1
        assert not other.given_back


def test_a_slow_reader_gets_the_rest_of_a_message_as_it_takes_it() -> None:
    much = "much" * 100_000
    with open_streams(beat_seconds=1000) as streams:
        reader = Reader(streams, much)
        streams.tell([much])
        assert reader.read_until(b"\n\n") == f"event: changed\ndata: {much}\n\n".encode()
        eventually(lambda: streams._epoll.poll(0) == [], "it is waited for on and on")


def test_what_a_slow_reader_missed_is_told_in_one_message() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        stream = OpenStream("alice", frozenset({"work", "apt"}), 0.0, lambda: True)
        stream.connect(near, chunked=False, given_back=lambda: None)
        while not stream.waits:
            stream.tell(["work"])
        for _ in range(1000):
            stream.tell(["apt"])
            stream.tell(["work"])
        far.settimeout(5)
        got = far.recv(1 << 20)
        stream.flush()
        got += far.recv(1 << 20)
        assert got.endswith(b"event: changed\ndata: work\n\nevent: changed\ndata: apt work\n\n")
        assert got.count(b"apt") == 1


def test_a_reader_is_late_ten_seconds_after_it_took_something_the_last_time() -> None:
    near, far = socket.socketpair()
    with near, far:
        near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        far.settimeout(5)
        much = "much" * 100_000
        stream = OpenStream("alice", frozenset({much}), 0.0, lambda: True)
        stream.connect(near, chunked=False, given_back=lambda: None)
        assert not stream.is_late(float("inf"))
        before = time.monotonic()
        stream.tell([much])
        first = time.monotonic()
        assert not stream.is_late(before + 10)
        assert stream.is_late(first + 10)
        stream.flush()
        assert stream.is_late(first + 10), "it took nothing since"
        got = len(far.recv(1 << 20))
        stream.flush()
        assert not stream.is_late(first + 10)
        assert stream.is_late(time.monotonic() + 10)
        while stream.waits:
            got += len(far.recv(1 << 20))
            stream.flush()
        assert not stream.is_late(float("inf"))
        assert got < len(much) + len("event: changed\ndata: \n\n")


def test_a_stream_ends_when_its_time_is_over_or_its_caller_may_follow_it_no_longer() -> None:
    with open_streams(beat_seconds=0.05) as streams:
        short, refused, other = (
            Reader(streams, "work", seconds=0),
            Reader(streams, "work"),
            Reader(streams, "work"),
        )
        refused.allowed = False
        streams.end_those_not_allowed()
        short.rest()
        refused.rest()
        assert len(streams) == 1
        assert not other.given_back


def test_there_are_so_many_of_a_process_and_of_a_caller() -> None:
    def always() -> bool:
        return True

    with open_streams(most=3, most_of_one=2) as streams:
        first = streams.admit("alice", ["work"], 60, always)
        streams.admit("alice", ["work"], 60, always)
        with pytest.raises(TooManyRequests):
            streams.admit("alice", ["work"], 60, always)
        streams.admit("bob", ["work"], 60, always)
        with pytest.raises(Unavailable):
            streams.admit("carol", ["work"], 60, always)
        streams.refuse(first)
        streams.admit("carol", ["work"], 60, always)


def test_a_caller_may_have_250_and_a_process_1000() -> None:
    def always() -> bool:
        return True

    with open_streams() as streams:
        for _ in range(250):
            streams.admit("alice", ["work"], 60, always)
        with pytest.raises(TooManyRequests) as too_many:
            streams.admit("alice", ["work"], 60, always)
        for number in range(750):
            streams.admit(str(number), ["work"], 60, always)
        with pytest.raises(Unavailable) as full:
            streams.admit("bob", ["work"], 60, always)
        assert len(streams) == 1000
    assert too_many.value.retry_after_seconds == full.value.retry_after_seconds == 60


def test_none_is_opened_once_the_process_ends() -> None:
    streams = OpenStreams()
    reader = Reader(streams, "work")
    streams.close()
    assert reader.rest() == b""
    assert not streams.wait_for_one()
    with pytest.raises(ShuttingDown):
        streams.admit("alice", ["work"], 60, lambda: True)


def test_waiting_for_one_ends_with_the_first_and_begins_again_behind_the_last() -> None:
    with open_streams() as streams, ThreadPoolExecutor(1) as pool:
        for _ in range(2):
            waits = pool.submit(streams.wait_for_one)
            with pytest.raises(TimeoutError):
                waits.result(0.1)
            both = [streams.admit("alice", ["work"], 60, lambda: True) for _ in range(2)]
            assert waits.result(30)
            streams.refuse(both[0])
            assert pool.submit(streams.wait_for_one).result(30), "one is left"
            streams.refuse(both[1])
