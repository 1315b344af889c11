"""The client of a waiting request: whether it is still connected, and which thread it occupies.

A disconnected client is detected by its connection: the other end is closed. A client may also have
closed only its own half and still read. So after the end of its input the server sends a response
of status 100, which every HTTP/1.1 client skips; a machine that has closed the connection rejects
that packet. Once a response has begun, nothing can be sent between its bytes. Then the request that
sends the response is woken instead; if it has something harmless to send, as a stream of events
has, that send fails or succeeds in the same way.
"""

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from typing import Protocol

from staging_api.background import BackgroundThread
from staging_api.errors import ClientGone
from staging_api.open_stream import OpenStream

log = logging.getLogger(__name__)

#: WSGI key for the client of a request, set by a server that can watch the connection.
ENVIRON_KEY = "staging_api.client"

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BROKEN = select.EPOLLERR | select.EPOLLHUP
# The kernel accepts a response of this size at once, or soon.
_SMALL_BYTES = 128 << 10

#: Context manager entered while a thread waits, so that another request may run.
Parked = Callable[[], AbstractContextManager[None]]


class Client(Protocol):
    """The client on whose behalf a request waits."""

    @property
    def gone(self) -> bool:
        """Return whether the client has closed its connection."""

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Enter the block to wait; another thread calls `wake` when the client disconnects."""

    def leave_to(self, stream: OpenStream) -> bool:
        """Have `stream` take the connection after this response's first bytes; False: it cannot."""


class AlwaysConnected:
    """A client whose connection is not watched: in a worker, or under another WSGI server."""

    gone = False

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Wait without watching a connection."""
        del wake
        return nullcontext()

    def leave_to(self, stream: OpenStream) -> bool:
        """Return False: there is no connection to hand over."""
        del stream
        return False


ALWAYS_CONNECTED = AlwaysConnected()


def check_connected(client: Client) -> None:
    """Check that the client is still connected.

    Raises:
        ClientGone: it is not connected.
    """
    if client.gone:
        raise ClientGone("the client closed its connection while its request waited")


class DisconnectWatcher:
    """Thread that detects for waiting requests that the other end of their connection is closed."""

    def __init__(self) -> None:
        """Start no thread yet: a process may fork first."""
        self._epoll = select.epoll()
        self._watched: dict[int, ConnectedClient] = {}
        self._thread = BackgroundThread("disconnects", self._run)

    def start(self) -> None:
        """Start the thread.

        Raises:
            Unavailable: the system cannot start a thread.
        """
        self._thread.ensure()

    def add(self, client: "ConnectedClient", descriptor: int, events: int) -> None:
        """Report events of the connection to `client`."""
        self._watched[descriptor] = client
        self._epoll.register(descriptor, events)

    def look_for(self, descriptor: int, events: int) -> None:
        """Change the set of reported events; errors and hang-ups are always reported."""
        with suppress(OSError):
            self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Stop reporting events of the connection."""
        self._watched.pop(descriptor, None)
        with suppress(OSError):
            self._epoll.unregister(descriptor)

    def _run(self) -> None:
        while True:
            for descriptor, events in self._epoll.poll():
                client = self._watched.get(descriptor)
                if client is not None:
                    try:
                        client.note(events)
                    except Exception:
                        log.exception("a request was not notified that its client is gone")


@dataclass(eq=False)
class ConnectedClient:
    """The client at the other end of a connection, which is watched only during `waiting`.

    Attributes:
        parked: context manager that is entered while the request waits.
        skips_continue: whether the client speaks HTTP/1.1.
    """

    sock: socket.socket
    watcher: DisconnectWatcher
    parked: Parked
    skips_continue: bool = field(kw_only=True)
    gone: bool = False
    left_to: OpenStream | None = None
    _has_begun: bool = False
    _input_has_ended: bool = False
    _wake: Callable[[], None] | None = None
    # Synchronises `note` in the watcher's thread with the thread of the request.
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def begin_answer(self) -> None:
        """Mark the response as begun: from now on nothing else may be sent."""
        self._has_begun = True

    def leave_to(self, stream: OpenStream) -> bool:
        """Implement `Client.leave_to`."""
        self.left_to = stream
        return True

    @contextmanager
    def waiting(self, wake: Callable[[], None]) -> Iterator[None]:
        """Implement `Client.waiting`."""
        descriptor = self.sock.fileno()
        self._wake = wake
        # The end of the input is reported once; a broken connection repeatedly.
        events = 0 if self._input_has_ended else select.EPOLLRDHUP
        self.watcher.add(self, descriptor, events)
        try:
            with self.parked():
                yield
        finally:
            self.watcher.remove(descriptor)
            with self._mutex:
                self._wake = None

    def note(self, events: int) -> None:
        """Handle an event of the connection; wake the request if its client may be disconnected."""
        with self._mutex:
            wake = self._wake
            if wake is None:
                return
            if events & _BROKEN or not self._may_read():
                self.gone = True
                # Deregistered, because epoll would report a broken connection again and again.
                self.watcher.remove(self.sock.fileno())
            elif not self._has_begun:
                return
        wake()

    def _may_read(self) -> bool:
        """Return whether a client whose input has ended may still read."""
        self._input_has_ended = True
        self.watcher.look_for(self.sock.fileno(), 0)
        if self._has_begun:
            return True
        if not self.skips_continue:
            return False
        try:
            return self.sock.send(_CONTINUE, socket.MSG_DONTWAIT) == len(_CONTINUE)
        except OSError:
            return False


class ClientSocket(socket.socket):
    """Socket whose thread is `parked` while it waits for the other end."""

    parked: Parked = nullcontext

    def settimeout(self, value: float | None, /) -> None:
        """Set the timeout if it differs from the present one, to save a system call each time."""
        if value != self.gettimeout():
            super().settimeout(value)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive bytes like `socket.recv`."""
        try:
            return super().recv(bufsize, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self.gettimeout() == 0:
                raise
        with self.parked():
            return super().recv(bufsize, flags)

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override]
        """Send bytes like `socket.sendall`."""
        try:
            sent = super().send(data, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            with self.parked():
                super().sendall(memoryview(data)[sent:], flags)

    def sendfile(self, file, offset=0, count=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Send a file like `socket.sendfile`; a large file parks the thread from the start."""
        small = count is not None and count <= _SMALL_BYTES
        with nullcontext() if small else self.parked():
            return super().sendfile(file, offset, count)
