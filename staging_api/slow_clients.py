"""Clients that send slowly, or not at all, or read nothing: their connections are shut.

A thread that reads from a client waits in the kernel, so whoever opens connections and sends a byte
now and then could hold all threads of a process. While a thread reads, its socket is in a list with
the time by which the reading has to be done; another thread shuts what is late, and the reader sees
the end of its input. What a client does not take is left to the kernel (`TCP_USER_TIMEOUT`).
"""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_LOOK_SECONDS = 0.5
#: A body may come as slowly as this.
SLOWEST_BYTES_PER_SECOND = 16 << 10


class SlowClients:
    """The connections of one process that are being read from."""

    def __init__(self, seconds: float) -> None:
        """Start no thread yet: a process may fork before its first client.

        Args:
            seconds: for the head of a request, for the next part of a body at the slowest pace,
                and for any part of an answer to be taken.
        """
        self.seconds = seconds
        self._late_at: dict[socket.socket, float] = {}
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None

    def begin(self, client: socket.socket, seconds: float) -> None:
        """Something has to arrive within so many seconds."""
        with self._mutex:
            self._late_at[client] = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="slow-clients", daemon=True)
                self._thread.start()

    def end(self, client: socket.socket) -> None:
        """It arrived, or nothing is awaited any more."""
        with self._mutex:
            self._late_at.pop(client, None)

    def limit_answers(self, client: socket.socket) -> None:
        """Let the kernel give up a client that takes nothing of its answer, or is gone."""
        # A Unix socket has no such option, and a proxy at its other end.
        with suppress(OSError):
            milliseconds = int(self.seconds * 1000)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)

    def _run(self) -> None:
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._mutex:
                now = time.monotonic()
                for client in [c for c, late_at in self._late_at.items() if late_at < now]:
                    del self._late_at[client]
                    with suppress(OSError):
                        client.shutdown(socket.SHUT_RDWR)


class TimedBody:
    """The body of a request, as WSGI has it, each part of which has to come in time."""

    def __init__(self, body: Any, client: socket.socket, clients: SlowClients, length: int) -> None:
        """Read `body`, of so many bytes, which comes from `client`."""
        self._body, self._client, self._clients, self._length = body, client, clients, length

    def read(self, size: int | None = None) -> bytes:
        """As of a file."""
        with self._timed(self._length if size is None or size < 0 else size):
            return bytes(self._body.read(size))

    def readline(self, size: int | None = None) -> bytes:
        """As of a file."""
        with self._timed(self._length):
            return bytes(self._body.readline(size))

    def readlines(self, size: int | None = None) -> list[bytes]:
        """As of a file."""
        with self._timed(self._length):
            return list(self._body.readlines(size))

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    @contextmanager
    def _timed(self, size: int) -> Iterator[None]:
        wanted = min(size, self._length)
        seconds = self._clients.seconds + wanted / SLOWEST_BYTES_PER_SECOND
        self._clients.begin(self._client, seconds)
        try:
            yield
        finally:
            self._clients.end(self._client)
