"""Event streams about changes: one thread serves all streams of a process.

A request that opens a stream is answered like any other, up to the head of its response. Then its
connection is passed to this thread, and its own thread does other work. A stream carries the topics
that changed, and a comment from time to time. The unsent data of a reader is a set of topics, so a
slow reader costs no memory; a reader that accepts nothing for ten seconds is cut off. The kernel
detects disconnected readers, by the comments and by its own probes.

What if the thread dies? It is restarted, and continues with all streams. What if the process dies?
The connections end, and browsers open their streams again, at another process or its successor.
"""

import logging
import os
import select
import threading
import time
from collections.abc import Callable, Iterable

from staging_api import metrics
from staging_api.background import BackgroundThread
from staging_api.errors import ShuttingDown, TooManyRequests, Unavailable
from staging_api.open_stream import OpenStream

log = logging.getLogger(__name__)

#: Limit of streams in a process; a page without a stream polls.
MOST_STREAMS = 1000
#: Limit of streams of one caller.
MOST_OF_ONE = 250
BEAT_SECONDS = 15.0
_FULL_RETRY_SECONDS = 60.0
_ENDS = select.EPOLLERR | select.EPOLLHUP | select.EPOLLIN | select.EPOLLRDHUP


class OpenStreams:
    """The streams of this process, at most `most` at a time."""

    def __init__(
        self,
        most: int = MOST_STREAMS,
        most_of_one: int = MOST_OF_ONE,
        beat_seconds: float = BEAT_SECONDS,
    ) -> None:
        """Start no thread yet: a process may fork first."""
        self._beat_seconds = beat_seconds
        self.most, self._most_of_one = most, most_of_one
        self._epoll = select.epoll()
        self._wake_up = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake_up, select.EPOLLIN)
        self._mutex = threading.Lock()
        self._some = threading.Event()
        self._admitted: set[OpenStream] = set()
        self._arriving: list[OpenStream] = []
        self._changed: set[str] = set()
        self._connected: dict[int, OpenStream] = {}
        self._beat_at = float("inf")
        self._closed = False
        self._thread = BackgroundThread("event-streams", self._run)

    def __len__(self) -> int:
        """Return the number of open streams."""
        return len(self._admitted)

    def admit(
        self, caller: str, topics: Iterable[str], seconds: float, still_allowed: Callable[[], bool]
    ) -> OpenStream:
        """Admit and count one more stream; the caller must then call `begin` or `refuse`.

        Raises:
            TooManyRequests: the caller has reached its limit of streams.
            Unavailable: the process has reached its limit, or ends, or cannot start a thread.
        """
        stream = OpenStream(caller, frozenset(topics), time.monotonic() + seconds, still_allowed)
        self._thread.ensure()
        with self._mutex:
            if self._closed:
                raise ShuttingDown("this process is shutting down")
            if len(self._admitted) >= self.most:
                raise Unavailable(
                    f"this process has {self.most} event streams open, and opens no more",
                    retry_after_seconds=_FULL_RETRY_SECONDS,
                )
            if sum(each.caller == caller for each in self._admitted) >= self._most_of_one:
                raise TooManyRequests(
                    f"this caller has {self._most_of_one} event streams open, and gets no more",
                    retry_after_seconds=_FULL_RETRY_SECONDS,
                )
            self._admitted.add(stream)
            metrics.EVENT_STREAMS.inc()
            self._some.set()
        return stream

    def begin(self, stream: OpenStream) -> None:
        """Serve a stream that has its connection."""
        with self._mutex:
            self._arriving.append(stream)
        os.eventfd_write(self._wake_up, 1)

    def refuse(self, stream: OpenStream) -> None:
        """Remove a stream from the count."""
        with self._mutex:
            if stream in self._admitted:
                self._admitted.remove(stream)
                metrics.EVENT_STREAMS.dec()
            if not self._admitted and not self._closed:
                self._some.clear()

    def wait_for_one(self) -> bool:
        """Wait until a stream is open; return False once all are closed permanently."""
        self._some.wait()
        return not self._closed

    def tell(self, topics: Iterable[str]) -> None:
        """Send each stream the topics that it follows."""
        with self._mutex:
            self._changed.update(topics)
        os.eventfd_write(self._wake_up, 1)

    def close(self) -> None:
        """End all streams, and admit no more."""
        with self._mutex:
            self._closed = True
            self._some.set()
        os.eventfd_write(self._wake_up, 1)
        self._thread.join()

    def end_those_not_allowed(self) -> None:
        """End, at the next heartbeat, the streams whose callers may no longer follow them."""
        # A copy, as streams open and close while each check reads the database.
        for stream in self._admitted.copy():
            if not stream.still_allowed():
                stream.ends_at = 0.0

    def _run(self) -> None:
        while not self._closed:
            for descriptor, events in self._epoll.poll(self._pause()):
                if descriptor == self._wake_up:
                    # Read before the news are taken: news that arrive later wake the thread again.
                    os.eventfd_read(self._wake_up)
                elif (stream := self._connected.get(descriptor)) is not None:
                    # Readers of a stream send nothing, so an event means that the connection ends.
                    self._do(stream, self._end if events & _ENDS else OpenStream.flush)
            self._take_news()
            self._look_after(time.monotonic())
        self._take_news()
        for stream in list(self._connected.values()):
            self._end(stream)

    def _pause(self) -> float | None:
        """Return the seconds until the next work; None: until there is news."""
        if not self._connected:
            return None
        # A reader that accepts nothing causes no event, so it must be checked.
        if any(each.waits for each in self._connected.values()):
            return 1.0
        return max(0.0, self._beat_at - time.monotonic())

    def _take_news(self) -> None:
        with self._mutex:
            arriving, self._arriving = self._arriving, []
            changed, self._changed = self._changed, set()
        for stream in arriving:
            self._do(stream, self._register)
        if changed:
            for stream in list(self._connected.values()):
                self._do(stream, lambda each: each.tell(changed))

    def _register(self, stream: OpenStream) -> None:
        if not self._connected:
            self._beat_at = time.monotonic() + self._beat_seconds
        # Not for writing, which is nearly always possible: the thread would never rest.
        self._epoll.register(stream.descriptor, select.EPOLLIN | select.EPOLLRDHUP)
        self._connected[stream.descriptor] = stream

    def _look_after(self, now: float) -> None:
        """Cut off late readers; at each heartbeat, end streams whose time is over."""
        for stream in [each for each in self._connected.values() if each.is_late(now)]:
            log.info("a reader of events takes nothing, and is cut off")
            self._end(stream)
        if now < self._beat_at:
            return
        self._beat_at = now + self._beat_seconds
        for stream in list(self._connected.values()):
            self._do(stream, self._end if now >= stream.ends_at else OpenStream.beat)

    def _do(self, stream: OpenStream, act: Callable[[OpenStream], None]) -> None:
        """Call `act` with one stream; an error ends this stream only."""
        waited = stream.waits
        try:
            act(stream)
            if stream.waits != waited:
                writes = select.EPOLLOUT if stream.waits else 0
                events = select.EPOLLIN | select.EPOLLRDHUP | writes
                self._epoll.modify(stream.descriptor, events)
        except (OSError, ValueError):
            self._end(stream)

    def _end(self, stream: OpenStream) -> None:
        if self._connected.pop(stream.descriptor, None) is not None:
            self._epoll.unregister(stream.descriptor)
        self.refuse(stream)
        stream.end()
