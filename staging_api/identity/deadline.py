"""One deadline for a whole call over HTTP: connecting, TLS, each byte of the head and of the body.

The time-outs of HTTP libraries limit each read by itself, so a peer that sends a byte a second
holds a thread for as long as it likes. Here a timer shuts the sockets that the thread has used
since `limited` began; its library then fails as after any lost connection. While a connection is
made there is no socket to shut yet, so that wait ends by its own time-out. Name resolution is the
one step that cannot be ended; the system's resolver has limits of its own.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

_this_thread = threading.local()
# Of 0 a socket would not wait at all, which is another error.
_LEAST_SECONDS = 0.001


class Deadline:
    """The sockets of one call, and whether its time is over."""

    def __init__(self, seconds: float) -> None:
        """Begin without a socket."""
        self.over = False
        self._at = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._mutex = threading.Lock()

    def left(self, limit: float | None) -> float:
        """The seconds until then, and no more than a limit of the library's own."""
        left = max(_LEAST_SECONDS, self._at - time.monotonic())
        return left if limit is None else min(limit, left)

    def add(self, used: socket.socket) -> None:
        """Shut this connection, too, when the time is over; at once if it is."""
        with self._mutex, suppress(OSError):
            # A copy: TLS takes the descriptor out of the socket that was connected.
            self._sockets.append(socket.socket(fileno=os.dup(used.fileno())))
            if self.over:
                self._shut()

    def expire(self) -> None:
        """End both directions of each connection."""
        with self._mutex:
            self.over = True
            self._shut()

    def close(self) -> None:
        """Forget the connections, which may be used again."""
        with self._mutex:
            for each in self._sockets:
                each.close()
            self._sockets.clear()

    def _shut(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def limited(seconds: float) -> Iterator[Deadline]:
    """Shut the sockets that this thread uses in the block, when it takes longer than this."""
    deadline = Deadline(seconds)
    timer = threading.Timer(max(0.0, seconds), deadline.expire)
    timer.daemon = True
    timer.start()
    _this_thread.deadline = deadline
    try:
        yield deadline
    finally:
        _this_thread.deadline = None
        timer.cancel()
        deadline.close()


def _deadline() -> Deadline | None:
    found: Deadline | None = getattr(_this_thread, "deadline", None)
    return found


def _use(used: Any) -> None:
    deadline = _deadline()
    if deadline is not None and used is not None:
        deadline.add(used)


class _Limited(HTTPConnection):
    """A connection of which the deadline knows, whether it is new or used again."""

    def _new_conn(self) -> socket.socket:
        deadline = _deadline()
        if deadline is not None:
            self.timeout = deadline.left(self.timeout)
        made = super()._new_conn()
        _use(made)
        return made

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request."""
        _use(self.sock)
        super().request(*arguments, **options)


class _LimitedTls(_Limited, HTTPSConnection):
    """The same over TLS, whose handshake is part of the call."""


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Limited


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _LimitedTls


def obey(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Let all connections that `manager` makes obey `limited`."""
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager
