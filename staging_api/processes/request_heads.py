"""Connections while nothing runs for them: a request's head is read here, without a thread.

One thread polls every connection that has not sent a whole head yet, is kept alive between two
requests, or is being closed. Only a whole head is handed on (`dispatch`), so a client that sends
half of one costs its bytes here, and no thread. A head has to come in time and may have only so
many bytes; when all the connections that there may be are taken, the one that has waited here
longest is closed for a new one.

The kernel reports each connection once (`EPOLLONESHOT`) until it is asked to report it again. So a
thread that has answered a request gives its connection back by itself, without waking the thread
that polls; `_mutex` keeps the two apart.

What if this thread hangs? Then nothing is accepted any more, and gunicorn's parent ends the
process, as its heart beats in the same loop.
"""

import os
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from staging_api.clients import ClientSocket
from staging_api.open_stream import OpenStream

#: Identity providers' tokens are long; nothing else in a head is.
MOST_HEAD_BYTES = 32 << 10
_END_OF_HEAD = b"\r\n\r\n"
_READ_BYTES = 16 << 10
# Between the end of our answer and the close: else bytes that the client still sends would have
# the kernel throw away what it has not read of the answer (RFC 9112, section 9.6).
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 64 << 10
# A look at the deadlines of all connections takes a while if there are thousands.
_LOOK_SECONDS = 0.1
# Instead of trying without a pause to accept what there is no descriptor for.
_NO_ROOM_SECONDS = 0.01
_ONCE = select.EPOLLIN | select.EPOLLONESHOT


@dataclass(eq=False)
class Connection:
    """One connection of a client.

    Attributes:
        server: the address that the client came to.
        is_for_probes: it came to the address of the probes.
        head: bytes of the next request, as far as they are there.
        late_at: the monotonic time when it is closed, while it is here.
        requests: made of its heads, by the server that it is handed to.
        lingers: it is answered for the last time, and closed when its client does.
        stream: takes it over behind the answer's head.
    """

    sock: ClientSocket
    address: Any
    server: Any
    is_for_probes: bool
    head: bytearray = field(default_factory=bytearray)
    late_at: float = 0.0
    requests: Any = None
    lingers: bool = False
    lingered_bytes: int = 0
    stream: OpenStream | None = None

    @property
    def is_too_long(self) -> bool:
        """Whether no head has so many bytes."""
        return len(self.head) > MOST_HEAD_BYTES

    @property
    def path(self) -> bytes:
        """The path of the request whose head is whole, without its query."""
        words = bytes(self.head[:256]).split(b" ", 2)
        return words[1].partition(b"?")[0] if len(words) > 1 else b""


@dataclass
class ConnectionLimits:
    """Limits for clients.

    Attributes:
        head_seconds: for the whole head, from its first byte or the connection's beginning.
        idle_seconds: between two requests.
        most: connections at once, those included for which a request runs; for a moment one more.
    """

    head_seconds: float
    idle_seconds: float
    most: int


class RequestHeads:
    """The connections of a process, and the poll of those for which no request runs."""

    def __init__(
        self,
        limits: ConnectionLimits,
        dispatch: Callable[[Connection], None],
        all_dispatched: Callable[[], None],
    ) -> None:
        """Have `dispatch` answer each request whose head is there.

        It gives the connection back by `done`. After those that were found together
        `all_dispatched` is called.
        """
        self.limits = limits
        self._dispatch = dispatch
        self._all_dispatched = all_dispatched
        self._epoll = select.epoll()
        self._wake_up = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._epoll.register(self._wake_up, select.EPOLLIN)
        self._listeners: dict[int, tuple[Any, bool]] = {}
        self._polled: dict[int, Connection] = {}
        self._done: deque[tuple[Connection, bool]] = deque()
        self._open: set[Connection] = set()
        self._is_full = False
        self._look_at = 0.0
        # Held to begin or end to poll a connection, as its descriptor may be another's afterwards.
        self._mutex = threading.Lock()

    @property
    def waited_for(self) -> int:
        """How many connections are open, but for those of probes."""
        return sum(not each.is_for_probes for each in self._open)

    def listen(self, listener: Any, *, for_probes: bool) -> None:
        """Accept the connections of a listening socket."""
        listener.setblocking(False)
        self._listeners[listener.fileno()] = (listener, for_probes)
        self._epoll.register(listener.fileno(), select.EPOLLIN)

    def stop_listening(self, *, idle_seconds: float) -> None:
        """Refuse new connections at once, but for probes; those that are made already are served.

        Connections between two requests are closed after `idle_seconds`, at the latest.
        """
        for descriptor, (listener, for_probes) in list(self._listeners.items()):
            if not for_probes:
                while self._accept(listener, for_probes=False):
                    pass
                self._epoll.unregister(descriptor)
                listener.close()
                del self._listeners[descriptor]
        with self._mutex:
            self.limits.idle_seconds = idle_seconds
            for connection in self._polled.values():
                if not connection.head:
                    connection.late_at = min(connection.late_at, time.monotonic() + idle_seconds)

    def done(self, connection: Connection, *, keep: bool) -> None:
        """Take a connection back, from any thread: for its next request, or to close it."""
        if keep and not connection.head:
            self._poll(connection)
            if not self._is_full:
                return
        else:
            self._done.append((connection, keep))
        os.eventfd_write(self._wake_up, 1)

    def wake(self) -> None:
        """Let `turn` return; from any thread, or a signal handler."""
        os.eventfd_write(self._wake_up, 1)

    def turn(self, seconds: float) -> None:
        """Wait for news of the connections, at most so long, and act on it."""
        for descriptor, _events in self._epoll.poll(seconds):
            if descriptor in self._listeners:
                self._accept(*self._listeners[descriptor])
            elif descriptor == self._wake_up:
                os.eventfd_read(self._wake_up)
            elif (connection := self._polled.get(descriptor)) is not None:
                self._read(connection)
        while self._done:
            self._take_back(*self._done.popleft())
        self._all_dispatched()
        self._close_late()
        self._limit_connections()

    def _accept(self, listener: Any, for_probes: bool) -> bool:
        """Take a connection, one at a time: another process may be less busy.

        Returns False if none waits, or there is no room for it.
        """
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            return True  # others may wait behind it
        except OSError:
            # No descriptor is left, though fewer than `most` are open.
            if self._close_oldest():
                return True  # it has room now, and is taken next
            time.sleep(_NO_ROOM_SECONDS)
            return False
        family, kind = sock.family, sock.type
        client = ClientSocket(family, kind, fileno=sock.detach())
        client.setblocking(True)
        connection = Connection(client, address, listener.getsockname(), for_probes)
        self._open.add(connection)
        self._epoll.register(client.fileno(), 0)
        self._poll(connection, self.limits.head_seconds)
        return True

    def _poll(self, connection: Connection, seconds: float | None = None) -> None:
        """Wait for its next bytes, so many seconds at most; else as long as one may be idle."""
        with self._mutex:
            if seconds is None:
                seconds = self.limits.idle_seconds
            connection.late_at = time.monotonic() + seconds
            descriptor = connection.sock.fileno()
            self._polled[descriptor] = connection
            self._epoll.modify(descriptor, _ONCE)

    def _unpoll(self, connection: Connection) -> None:
        with self._mutex:
            self._polled.pop(connection.sock.fileno(), None)

    def _go_on(self, connection: Connection) -> None:
        """Wait for more of it; its deadline stays."""
        self._epoll.modify(connection.sock.fileno(), _ONCE)

    def _read(self, connection: Connection) -> None:
        sock = connection.sock
        try:
            # Not `ClientSocket.recv`, which would wait.
            read = socket.socket.recv(sock, _READ_BYTES, socket.MSG_DONTWAIT)
        except BlockingIOError:
            self._go_on(connection)
            return
        except OSError:
            read = b""
        if connection.lingers:
            connection.lingered_bytes += len(read)
            if not read or connection.lingered_bytes > _LINGER_BYTES:
                self._close(connection)
            else:
                self._go_on(connection)
        elif not read:
            self._close(connection)
        else:
            if not connection.head:
                connection.late_at = time.monotonic() + self.limits.head_seconds
            self._extend(connection, read)

    def _extend(self, connection: Connection, read: bytes) -> None:
        """Add to the head, and hand it on if it is whole, or too long to become one."""
        seen = max(0, len(connection.head) - len(_END_OF_HEAD) + 1)
        connection.head += read
        end = connection.head.find(_END_OF_HEAD, seen)
        if end >= 0 or connection.is_too_long:
            self._unpoll(connection)
            self._dispatch(connection)
        else:
            self._go_on(connection)

    def _take_back(self, connection: Connection, keep: bool) -> None:
        if not keep:
            self._linger(connection)
            return
        # It sent its next request together with the last.
        rest, connection.head = bytes(connection.head), bytearray()
        self._poll(connection, self.limits.head_seconds)
        self._extend(connection, rest)

    def _linger(self, connection: Connection) -> None:
        connection.lingers = True
        try:
            connection.sock.shutdown(socket.SHUT_WR)
            self._poll(connection, _LINGER_SECONDS)
        except OSError:
            self._close(connection)

    def _close(self, connection: Connection) -> None:
        self._unpoll(connection)
        self._open.discard(connection)
        with suppress(OSError):
            self._epoll.unregister(connection.sock.fileno())
        with suppress(OSError):
            connection.sock.close()

    def _close_late(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_SECONDS
        with self._mutex:
            late = [each for each in self._polled.values() if each.late_at < now]
        for connection in late:
            self._close(connection)

    def _oldest(self) -> Connection | None:
        """Return the connection of a client that has waited here longest, if there is one."""
        with self._mutex:
            return next((each for each in self._polled.values() if not each.is_for_probes), None)

    def _close_oldest(self) -> bool:
        """Close the connection that has waited here longest; return whether there was one."""
        oldest = self._oldest()
        if oldest is not None:
            self._close(oldest)
        return oldest is not None

    def _limit_connections(self) -> None:
        """Make room for new connections, and accept none while there is none to be made.

        A probe is never closed for it: where all is in use, a probe has to say so.
        """
        # Not as soon as there are as many as may be: it would be the newest, whose head is under
        # way, if requests run for all others.
        while len(self._open) > self.limits.most and self._close_oldest():
            pass
        is_full = len(self._open) >= self.limits.most and self._oldest() is None
        if is_full != self._is_full:
            self._is_full = is_full
            for descriptor, (_listener, for_probes) in self._listeners.items():
                if not for_probes:
                    self._epoll.modify(descriptor, 0 if is_full else select.EPOLLIN)
