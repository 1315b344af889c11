"""Poll connections and read the heads of requests in one thread.

The thread polls every connection that has not sent a whole head yet, is kept alive between two
requests, or is being closed. Only a whole head is handed on (`dispatch`), so a client that sends
half a head costs memory for these bytes, and no thread. A head has a deadline and a limit of bytes.
When the limit of connections is reached, the connection that has been polled longest is closed for
a new one.

The kernel reports each connection once (`EPOLLONESHOT`) until it is asked to report it again. So a
thread that has answered a request returns its connection by itself, without waking the polling
thread; `_mutex` synchronizes the two.

What if this thread hangs? Then no connection is accepted any more, and gunicorn's parent ends the
process, whose heartbeat runs in the same loop.
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

#: Tokens of identity providers are long; no other part of a head is.
MOST_HEAD_BYTES = 32 << 10
_END_OF_HEAD = b"\r\n\r\n"
_READ_BYTES = 16 << 10
# Pause between the end of a response and the close of its connection: otherwise bytes that the
# client still sends would make the kernel discard the unread part of the response (RFC 9112,
# section 9.6).
_LINGER_SECONDS = 2.0
_LINGER_BYTES = 64 << 10
# Scanning the deadlines of thousands of connections takes a while.
_LOOK_SECONDS = 0.1
# Pause when no descriptor is left for a new connection, instead of retrying in a busy loop.
_NO_ROOM_SECONDS = 0.01
_ONCE = select.EPOLLIN | select.EPOLLONESHOT


@dataclass(eq=False)
class Connection:
    """One connection of a client.

    Attributes:
        server: the local address to which the client connected.
        is_for_probes: whether this is the address of the probes.
        head: bytes of the next request, as far as received.
        late_at: the monotonic time when the connection is closed, while it is polled.
        requests: the parser of its requests, set by the server that answers them.
        lingers: whether its last response is sent, and the connection closes when the client does.
        stream: the stream that takes the connection over behind the response's head.
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
        """Whether the received bytes exceed the limit for a head."""
        return len(self.head) > MOST_HEAD_BYTES

    @property
    def path(self) -> bytes:
        """The path in the complete head, without the query."""
        words = bytes(self.head[:256]).split(b" ", 2)
        return words[1].partition(b"?")[0] if len(words) > 1 else b""


@dataclass
class ConnectionLimits:
    """Limits for clients.

    Attributes:
        head_seconds: time for a whole head, from its first byte or from the connection's beginning.
        idle_seconds: time between two requests.
        most: connections at once, including those with a running request; briefly one more.
    """

    head_seconds: float
    idle_seconds: float
    most: int


class RequestHeads:
    """The connections of a process, and the poll of those without a running request."""

    def __init__(
        self,
        limits: ConnectionLimits,
        dispatch: Callable[[Connection], None],
        all_dispatched: Callable[[], None],
    ) -> None:
        """Have `dispatch` answer each request whose head is complete.

        `dispatch` returns the connection by calling `done`. `all_dispatched` is called once after
        the requests of one poll.
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
        # Held to begin or end polling a connection: after the end, its descriptor may belong to
        # another connection.
        self._mutex = threading.Lock()

    @property
    def waited_for(self) -> int:
        """The number of open connections, without those of probes."""
        return sum(not each.is_for_probes for each in self._open)

    def listen(self, listener: Any, *, for_probes: bool) -> None:
        """Accept the connections of a listening socket."""
        listener.setblocking(False)
        self._listeners[listener.fileno()] = (listener, for_probes)
        self._epoll.register(listener.fileno(), select.EPOLLIN)

    def stop_listening(self, *, idle_seconds: float) -> None:
        """Refuse new connections at once, except for probes; existing connections are still served.

        Connections between two requests are closed after at most `idle_seconds`.
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
        """Return a connection, from any thread: to poll for its next request, or to close it."""
        if keep and not connection.head:
            self._poll(connection)
            if not self._is_full:
                return
        else:
            self._done.append((connection, keep))
        os.eventfd_write(self._wake_up, 1)

    def wake(self) -> None:
        """Make `turn` return; callable from any thread, or a signal handler."""
        os.eventfd_write(self._wake_up, 1)

    def turn(self, seconds: float) -> None:
        """Wait for events of the connections, at most `seconds`, and handle them."""
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
        """Accept one connection only: another process may be less busy.

        Returns False if no connection is waiting, or no descriptor is left.
        """
        try:
            sock, address = listener.accept()
        except BlockingIOError:
            return False
        except ConnectionAbortedError:
            return True  # other connections may wait behind it
        except OSError:
            # No descriptor is left, though fewer than `most` are open.
            if self._close_oldest():
                return True  # a descriptor is free now, and the next call accepts
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
        """Poll for the connection's next bytes, for at most `seconds`, or else the idle time."""
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
        """Poll for more bytes, with the same deadline."""
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
        """Append to the head, and dispatch it if it is complete or too long."""
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
        # The client sent its next request together with the last.
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
        """Return the connection that has been polled longest, except probes; None if none."""
        with self._mutex:
            return next((each for each in self._polled.values() if not each.is_for_probes), None)

    def _close_oldest(self) -> bool:
        """Close the connection that has been polled longest; return whether there was one."""
        oldest = self._oldest()
        if oldest is not None:
            self._close(oldest)
        return oldest is not None

    def _limit_connections(self) -> None:
        """Close old connections for new ones; stop accepting while none can be closed.

        A probe's connection is never closed for this: a probe must be able to report the overload.
        """
        # Close only above the limit, not at it: while requests run for all others, the oldest
        # polled connection is the newest one, whose head is still arriving.
        while len(self._open) > self.limits.most and self._close_oldest():
            pass
        is_full = len(self._open) >= self.limits.most and self._oldest() is None
        if is_full != self._is_full:
            self._is_full = is_full
            for descriptor, (_listener, for_probes) in self._listeners.items():
                if not for_probes:
                    self._epoll.modify(descriptor, 0 if is_full else select.EPOLLIN)
