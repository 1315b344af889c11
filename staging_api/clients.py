"""The client of a request that waits: whether it is still there, and whose thread it occupies.

A client that has gone is noticed by its connection: its other end is closed, so nobody takes the
answer. A client may also have closed only its own half, and still read: after the end of its input
it is sent `100 Continue`, which every HTTP/1.1 client skips. A machine that has closed the
connection refuses that packet, and a client that reads is none the wiser. Once an answer has begun
nothing can come between its bytes, so the request that gives the answer is woken instead: if it has
something to send that means nothing, as a stream of events has, the same follows from that.
"""

import logging
import select
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import Protocol

from staging_api.background import BackgroundThread
from staging_api.errors import ClientGone

log = logging.getLogger(__name__)

#: Where a WSGI server that can tell puts the client of a request.
ENVIRON_KEY = "staging_api.client"

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_BROKEN = select.EPOLLERR | select.EPOLLHUP
# An answer of this size is taken by the kernel at once, or soon.
_SMALL_BYTES = 128 << 10

#: Entered while a thread waits: another request may run meanwhile.
Parked = Callable[[], AbstractContextManager[None]]


class Client(Protocol):
    """On whose behalf a request waits."""

    @property
    def gone(self) -> bool:
        """Whether nobody takes the answer any more."""

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Enter to wait; `wake` is called, from another thread, should the client go."""


class AlwaysConnected:
    """A client of which nothing is known: of a worker, or of another WSGI server."""

    gone = False

    def waiting(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Wait for as long as it takes."""
        del wake
        return nullcontext()


ALWAYS_CONNECTED = AlwaysConnected()


def check_connected(client: Client) -> None:
    """Go on only if somebody takes the answer.

    Raises:
        ClientGone: nobody does.
    """
    if client.gone:
        raise ClientGone("the client closed its connection while its request waited")


class DisconnectWatcher:
    """Notices that the other end of a connection is closed, for requests that wait."""

    def __init__(self) -> None:
        """Start no thread yet: a process may fork first."""
        self._epoll = select.epoll()
        self._watched: dict[int, ConnectedClient] = {}
        self._thread = BackgroundThread("departures", self._run)

    def start(self) -> None:
        """Begin to look.

        Raises:
            Unavailable: the system gives no thread.
        """
        self._thread.ensure()

    def add(self, client: "ConnectedClient", descriptor: int, events: int) -> None:
        """Tell `client` what happens to its connection."""
        self._watched[descriptor] = client
        self._epoll.register(descriptor, events)

    def look_for(self, descriptor: int, events: int) -> None:
        """Change what is told of a connection; what breaks it is always told."""
        with suppress(OSError):
            self._epoll.modify(descriptor, events)

    def remove(self, descriptor: int) -> None:
        """Tell no more."""
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
                        log.exception("a request was not told that its client is gone")


class ConnectedClient:
    """The client at the other end of a connection."""

    def __init__(
        self,
        sock: socket.socket,
        departures: DisconnectWatcher,
        parked: Parked,
        *,
        skips_continue: bool,
    ) -> None:
        """Watch nothing yet.

        Args:
            parked: entered while the request waits.
            skips_continue: whether it speaks HTTP/1.1.
        """
        self._sock = sock
        self._departures = departures
        self._parked = parked
        self._skips_continue = skips_continue
        self._has_begun = False
        self._input_has_ended = False
        self._wake: Callable[[], None] | None = None
        # Nothing is sent by another thread once the answer may have begun.
        self._mutex = threading.Lock()
        self.gone = False

    def begin_answer(self) -> None:
        """From now on nothing but the answer is sent."""
        self._has_begun = True

    @contextmanager
    def waiting(self, wake: Callable[[], None]) -> Iterator[None]:
        """As `Client.waiting`."""
        descriptor = self._sock.fileno()
        self._wake = wake
        # The end of the input is told once; what breaks a connection, always.
        events = 0 if self._input_has_ended else select.EPOLLRDHUP
        self._departures.add(self, descriptor, events)
        try:
            with self._parked():
                yield
        finally:
            self._departures.remove(descriptor)
            with self._mutex:
                self._wake = None

    def note(self, events: int) -> None:
        """Find out what it means that the connection is not as it was."""
        with self._mutex:
            wake = self._wake
            if wake is None:
                return
            if events & _BROKEN or not self._may_read():
                self.gone = True
                # Of a broken connection more would be told without end.
                self._departures.remove(self._sock.fileno())
            elif not self._has_begun:
                return
        wake()

    def _may_read(self) -> bool:
        """Whether a client whose input has ended may still read."""
        self._input_has_ended = True
        self._departures.look_for(self._sock.fileno(), 0)
        if self._has_begun:
            return True
        if not self._skips_continue:
            return False
        try:
            return self._sock.send(_CONTINUE, socket.MSG_DONTWAIT) == len(_CONTINUE)
        except OSError:
            return False


class ClientSocket(socket.socket):
    """A connection whose thread is `parked` while it waits for the other end."""

    parked: Parked = nullcontext

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """As of any socket."""
        try:
            return super().recv(bufsize, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            if self.gettimeout() == 0:
                raise
        with self.parked():
            return super().recv(bufsize, flags)

    def sendall(self, data: bytes, flags: int = 0, /) -> None:  # type: ignore[override]
        """As of any socket; of bytes."""
        try:
            sent = super().send(data, flags | socket.MSG_DONTWAIT)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            with self.parked():
                super().sendall(memoryview(data)[sent:], flags)

    def sendfile(self, file, offset=0, count=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """As of any socket; a large file parks the thread at once."""
        small = count is not None and count <= _SMALL_BYTES
        with nullcontext() if small else self.parked():
            return super().sendfile(file, offset, count)
