"""Deadlines for clients: connections that send or read too slowly are shut down.

A thread that reads from a client waits in the kernel, so clients that send a byte now and then, or
request much and read little of it, could occupy all threads of a process. While a thread reads or
writes, its socket is in a list with its deadline. Another thread shuts down late sockets; then a
reader sees the end of its input, a writer a broken pipe. Before that, the kernel ends connections
of clients that read nothing at all, or are gone (`TCP_USER_TIMEOUT`), and probes idle connections
(`SO_KEEPALIVE`).
"""

import socket
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from staging_api.background import BackgroundThread
from staging_api.errors import Unavailable

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_LOOK_SECONDS = 0.5
# Spelled as by Falcon, and as in the examples of WSGI.
_LENGTH = ("content-length", "Content-Length")
_KEEPALIVE = {socket.TCP_KEEPIDLE: 10, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}


class SlowClients:
    """The connections of one process that are being read from or written to."""

    def __init__(self, seconds: float, bytes_per_second: int) -> None:
        """Start no thread yet: a process may fork first.

        Args:
            seconds: time for the head of a request, for the client to read any part of a response,
                and in addition to the time that a body or response takes at the lowest rate.
            bytes_per_second: lowest rate of a body or a response.
        """
        self.seconds = seconds
        self._bytes_per_second = bytes_per_second
        self._late_at: dict[socket.socket, float] = {}
        self._mutex = threading.Lock()
        self._thread = BackgroundThread("slow-clients", self._run)

    def start(self) -> None:
        """Start the thread that watches deadlines, before the first client.

        Raises:
            Unavailable: the system refuses a thread.
        """
        self._thread.ensure()

    def check(self) -> None:
        """Check that the thread that watches deadlines runs.

        Raises:
            Unavailable: the thread does not run.
        """
        self._thread.check()

    def begin(self, client: socket.socket, size_bytes: int = 0) -> None:
        """Set the deadline by which a client must send, or read, `size_bytes`."""
        seconds = self.seconds + size_bytes / self._bytes_per_second
        with self._mutex:
            self._late_at[client] = time.monotonic() + seconds
        # If the thread has ended and none can be started now, the next client tries again.
        with suppress(Unavailable):
            self._thread.ensure()

    def end(self, client: socket.socket) -> None:
        """Remove the deadline: the transfer is complete or abandoned."""
        with self._mutex:
            self._late_at.pop(client, None)

    def limit_answers(self, client: socket.socket) -> None:
        """Have the kernel end connections of clients that read nothing, or are gone."""
        # A Unix socket has no such option, and a proxy at its other end.
        with suppress(OSError):
            milliseconds = int(self.seconds * 1000)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _KEEPALIVE.items():
                client.setsockopt(socket.IPPROTO_TCP, option, value)

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
    """The WSGI body of a request, each part of which must arrive before a deadline."""

    def __init__(self, body: Any, client: socket.socket, clients: SlowClients, length: int) -> None:
        """Wrap `body`, of `length` bytes, which `client` sends."""
        self._body, self._client, self._clients, self._length = body, client, clients, length

    @property
    def is_read(self) -> bool:
        """Whether the length of the body is known, and all of it was read."""
        return getattr(self._body.reader, "length", None) == 0

    def read(self, size: int | None = None) -> bytes:
        """Read as from a file."""
        self._begin(size)
        try:
            return bytes(self._body.read(size))
        finally:
            self._clients.end(self._client)

    def readline(self, size: int | None = None) -> bytes:
        """Read a line as from a file."""
        self._begin()
        try:
            return bytes(self._body.readline(size))
        finally:
            self._clients.end(self._client)

    def readlines(self, size: int | None = None) -> list[bytes]:
        """Read lines as from a file."""
        self._begin()
        try:
            return list(self._body.readlines(size))
        finally:
            self._clients.end(self._client)

    def __iter__(self) -> Iterator[bytes]:
        while line := self.readline():
            yield line

    def _begin(self, size: int | None = None) -> None:
        if size is None or size < 0:
            size = self._length
        self._clients.begin(self._client, min(size, self._length))


class TimedAnswers:
    """A WSGI application whose responses must be read by the client before a deadline."""

    def __init__(self, app: "WSGIApplication", clients: SlowClients) -> None:
        """Wrap the application that gunicorn serves."""
        self._app, self._clients = app, clients

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        """Set one deadline for a response of declared length, else one for each part."""
        client, is_timed = environ["gunicorn.socket"], False

        def begun(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            nonlocal is_timed
            length = next((value for name, value in headers if name in _LENGTH), None)
            if length is not None:
                # The caller removes this deadline: a file is sent long after this returns.
                self._clients.begin(client, int(length))
                is_timed = True
            return start_response(status, headers, *error)

        body = self._app(environ, begun)
        return body if is_timed else self._part_by_part(client, body)

    def _part_by_part(self, client: socket.socket, body: Iterable[bytes]) -> Iterator[bytes]:
        try:
            for part in body:
                self._clients.begin(client, len(part))
                yield part
                self._clients.end(client)  # none while the application computes
        finally:
            if hasattr(body, "close"):
                body.close()
