"""One deadline for a whole HTTP call: connection, TLS, each byte of the head and the body.

Timeouts of HTTP libraries limit each read separately, so a peer that sends a byte a second can
occupy a thread forever. Here a timer shuts down the sockets that the thread has used since
`limited` began; its library then fails as after any lost connection. While a connection is being
opened there is no socket to shut down, so that wait ends by its own timeout. Name resolution cannot
be interrupted; the system's resolver has its own limits.
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
# With a timeout of 0 a socket would not wait at all, which is another error.
_LEAST_SECONDS = 0.001


class CallDeadline:
    """The sockets of one call, and whether its deadline has passed."""

    def __init__(self, seconds: float) -> None:
        self.over = False
        self._at = time.monotonic() + seconds
        self._sockets: list[socket.socket] = []
        self._mutex = threading.Lock()

    def left(self, limit: float | None) -> float:
        """Return the remaining seconds, at most `limit`, the library's own timeout."""
        left = max(_LEAST_SECONDS, self._at - time.monotonic())
        return left if limit is None else min(limit, left)

    def add(self, used: socket.socket) -> None:
        """Also shut this connection down at the deadline; at once if the deadline has passed."""
        with self._mutex, suppress(OSError):
            # A duplicate: TLS detaches the descriptor from the connected socket.
            self._sockets.append(socket.socket(fileno=os.dup(used.fileno())))
            if self.over:
                self._shut()

    def expire(self) -> None:
        """Shut down both directions of each connection."""
        with self._mutex:
            self.over = True
            self._shut()

    def close(self) -> None:
        """Release the connections, which may be used again."""
        with self._mutex:
            for each in self._sockets:
                each.close()
            self._sockets.clear()

    def _shut(self) -> None:
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


@contextmanager
def limited(seconds: float) -> Iterator[CallDeadline]:
    """Shut down the sockets that this thread uses in the block when `seconds` have passed."""
    deadline = CallDeadline(seconds)
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


class LimitedHttpConnection(HTTPConnection):
    """HTTP connection, new or reused, that registers with the deadline of its thread."""

    def request(self, *arguments: Any, **options: Any) -> None:
        """Send a request."""
        _use(self.sock)
        super().request(*arguments, **options)

    def _new_conn(self) -> socket.socket:
        deadline = _deadline()
        if deadline is not None:
            self.timeout = deadline.left(self.timeout)
        made = super()._new_conn()
        _use(made)
        return made


class LimitedHttpsConnection(LimitedHttpConnection, HTTPSConnection):
    """HTTPS connection with the same behaviour; the TLS handshake is part of the call."""


def obey(manager: urllib3.PoolManager) -> urllib3.PoolManager:
    """Make all connections of `manager` obey `limited`."""
    manager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}
    return manager


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = LimitedHttpConnection


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = LimitedHttpsConnection


def _deadline() -> CallDeadline | None:
    found: CallDeadline | None = getattr(_this_thread, "deadline", None)
    return found


def _use(used: Any) -> None:
    deadline = _deadline()
    if deadline is not None and used is not None:
        deadline.add(used)
