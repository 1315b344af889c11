"""One open stream of events: the unsent data, and the connection of its reader."""

import logging
import random
import socket
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

SLOW_SECONDS = 10.0
_BEAT = b": still here\n\n"
# Browsers reconnect after this number of milliseconds: not all at once.
_COME_BACK_MS = (2000, 6000)


def first_bytes() -> bytes:
    """Return the first bytes of a stream's body."""
    return b"retry: %d\n\n" % random.randint(*_COME_BACK_MS)  # noqa: S311 - spreads load


@dataclass(eq=False)
class OpenStream:
    """A stream to one reader.

    Attributes:
        caller: caller whose limit of streams it counts against.
        topics: topics that the reader follows.
        ends_at: monotonic time at which the stream is closed, so that its reader authenticates
            again.
        still_allowed: called from time to time; returns whether the caller may still follow the
            stream.
    """

    caller: str
    topics: frozenset[str]
    ends_at: float
    still_allowed: Callable[[], bool]
    _sock: socket.socket | None = None
    _chunked: bool = False
    _given_back: Callable[[], None] = lambda: None
    _due: set[str] = field(default_factory=set)
    _unsent: bytes = b""
    _late_at: float | None = None

    def connect(
        self, sock: socket.socket, *, chunked: bool, given_back: Callable[[], None]
    ) -> None:
        """Take a connection on which the head of the response has been sent.

        `given_back` is called, from the thread of streams, when the connection should be closed.
        """
        self._sock, self._chunked, self._given_back = sock, chunked, given_back

    @property
    def descriptor(self) -> int:
        """File descriptor of the connection; negative without a connection."""
        return self._sock.fileno() if self._sock is not None else -1

    def tell(self, topics: Iterable[str]) -> None:
        """Send the topics that the reader follows; a slow reader gets several together.

        Raises:
            OSError: the reader has disconnected.
        """
        self._due.update(self.topics.intersection(topics))
        self.flush()

    def beat(self) -> None:
        """Send a heartbeat, unless data is still unsent.

        Raises:
            OSError: the reader has disconnected.
        """
        if not self._unsent:
            self._send(_BEAT)

    def flush(self) -> None:
        """Send as much unsent data as the connection accepts.

        Raises:
            OSError: the reader has disconnected.
        """
        if self._unsent:
            self._send(b"")
        if self._due and not self._unsent:
            names = " ".join(sorted(self._due))
            self._due.clear()
            self._send(f"event: changed\ndata: {names}\n\n".encode())

    @property
    def waits(self) -> bool:
        """Whether a message has been sent only in part."""
        return bool(self._unsent)

    def is_late(self, now: float) -> bool:
        """Return whether the reader has accepted nothing of a message for too long."""
        return self._late_at is not None and now > self._late_at

    def end(self) -> None:
        """End the body, if that is possible without waiting, and give the connection back."""
        if self._chunked and not self._unsent and self._sock is not None:
            try:
                self._sock.send(b"0\r\n\r\n", socket.MSG_DONTWAIT)
            except OSError:
                log.debug("a reader disconnected at the end of its stream")
        self._given_back()

    def _send(self, data: bytes) -> None:
        if data:
            self._unsent = b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
        if self._sock is None:
            raise BrokenPipeError("there is no connection")
        try:
            sent = self._sock.send(self._unsent, socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        self._unsent = self._unsent[sent:]
        if not self._unsent:
            self._late_at = None
        elif sent or self._late_at is None:
            self._late_at = time.monotonic() + SLOW_SECONDS
