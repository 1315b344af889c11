"""The client of a waiting request: whether it is still connected, and which thread it occupies.

A client that is gone is noticed by its connection: the other end is closed. A client may also have
closed only its own half and still read. So after the end of its input it is sent `100 Continue`,
which every HTTP/1.1 client skips; a machine that has closed the connection rejects that packet.
Once an answer has begun nothing can be sent between its bytes. Then the request that sends the
answer is woken instead; if it has something harmless to send, as a stream of events has, that send
fails or succeeds in the same way.
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

#: WSGI key under which a server that can watch the connection puts the client of a request.
ENVIRON_KEY = "staging_api.client"

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BROKEN = select.EPOLLERR | select.EPOLLHUP
# The kernel takes an answer of this size at once, or soon.
_SMALL_BYTES = 128 << 10

#: Context manager entered while a thread waits, so that another request may run.
Parked = Callable[[], AbstractContextManager[None]]


class Client(Protocol):
    """The client on whose behalf a request waits."""

    @property
    def gone(self) -> bool:
        """Whether the client has closed its connection."""

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Enter to wait; `wake` is called, from another thread, when the client goes."""

    def leave_to(self, stream: OpenStream) -> bool:
        """Have `stream` take the connection after this answer's first bytes; False: it cannot."""


class AlwaysConnected:
    """A client whose connection is not watched: of a worker, or of another WSGI server."""

    gone = False

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Wait without watching a connection."""
        del wake
        return nullcontext()

    def leave_to(self, stream: OpenStream) -> bool:
        """There is no connection to leave."""
        del stream
        return False


ALWAYS_CONNECTED = AlwaysConnected()


def check_connected(client: Client) -> None:
    """Check that the client is still connected.

    Raises:
        ClientGone: it is not.
    """
    if client.gone:
        raise ClientGone("the client closed its connection while its request waited")


class DisconnectWatcher:
    """Notices, for waiting requests, that the other end of their connection is closed."""

    def __init__(self) -> None:
        """Start no thread yet: a process may fork first."""
        self._epoll = select.epoll()
        self._watched: dict[int, ConnectedClient] = {}
        self._thread = BackgroundThread("disconnects", self._run)

    def start(self) -> None:
        """Start the thread.

        Raises:
            Unavailable: the system gives no thread.
        """
        self._thread.ensure()

    def add(self, client: "ConnectedClient", descriptor: int, events: int) -> None:
        """Report events of the connection to `client`."""
        self._watched[descriptor] = client
        self._epoll.register(descriptor, events)

    def look_for(self, descriptor: int, events: int) -> None:
        """Change the reported events; errors and hang-ups are always reported."""
        with suppress(OSError):
            self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Stop reporting."""
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
    """The client at the other end of a connection, which is not watched until `waiting`.

    Attributes:
        parked: entered while the request waits.
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
    # Serialises `note` in the watcher's thread with the thread of the request.
    _mutex: threading.Lock = field(default_factory=threading.Lock)

    def begin_answer(self) -> None:
        """Mark the answer as begun: nothing else may be sent from now on."""
        self._has_begun = True

    def leave_to(self, stream: OpenStream) -> bool:
        """As `Client.leave_to`."""
        self.left_to = stream
        return True

    @contextmanager
    def waiting(self, wake: Callable[[], None]) -> Iterator[None]:
        """As `Client.waiting`."""
        descriptor = self.sock.fileno()
        self._wake = wake
        # The end of the input is reported once; a broken connection, always.
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
        """Handle an event of the connection; wake the request if the client may be gone."""
        with self._mutex:
            wake = self._wake
            if wake is None:
                return
            if events & _BROKEN or not self._may_read():
                self.gone = True
                # epoll would report a broken connection again and again.
                self.watcher.remove(self.sock.fileno())
            elif not self._has_begun:
                return
        wake()

    def _may_read(self) -> bool:
        """Whether a client whose input has ended may still read."""
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
    """A connection whose thread is `parked` while it waits for the other end."""

    parked: Parked = nullcontext

    def settimeout(self, value: float | None, /) -> None:
        """Set it as of any socket; not if it is the same, as the kernel is asked each time."""
        if value != self.gettimeout():
            super().settimeout(value)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """Receive as any socket does."""
        try:
            return super().recv(bufsize, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self.gettimeout() == 0:
                raise
        with self.parked():
            return super().recv(bufsize, flags)

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override]
        """Send bytes as any socket does."""
        try:
            sent = super().send(data, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            with self.parked():
                super().sendall(memoryview(data)[sent:], flags)

    def sendfile(self, file, offset=0, count=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Send a file as any socket does; a large one parks the thread from the start."""
        small = count is not None and count <= _SMALL_BYTES
        with nullcontext() if small else self.parked():
            return super().sendfile(file, offset, count)
