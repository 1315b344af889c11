"""Find the address of an http origin, and connect to that address and no other.

A host name is resolved once, every address it has must be permitted, and the connection goes to
one of the addresses that were looked at: a name that answers differently the second time (DNS
rebinding) gains nothing. TLS still proves the name, not the address.
"""

import socket
import ssl
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from staging_api.errors import SourceFailed, SourceNotAllowed
from staging_api.sources.allowlist import AllowedPrefix, host_of
from staging_api.sources.model import SourceOptions
from staging_api.sources.retrying import Interrupted
from staging_api.sources.url import SCHEMES, ArchiveUrl

Pool = urllib3.HTTPConnectionPool


class Origins:
    """One pool of connections for each origin that was vetted."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._pools: dict[str, Pool] = {}
        self._failures: dict[str, int] = {}
        self._lines = _Lines()
        self._lock = threading.Lock()

    def pool(self, url: ArchiveUrl, entry: AllowedPrefix) -> Pool:
        """Connections to the origin of `url`, which `entry` of the allow-list covers.

        Raises:
            SourceNotAllowed: one of its addresses is not permitted.
            Interrupted: it has no address just now.
            SourceFailed: the source was closed.
        """
        if self._lines.cut:
            raise SourceFailed("this source was closed")
        origin = f"{url.scheme}://{url.authority}"
        with self._lock:
            if origin not in self._pools:
                # Of several addresses each failure moves on to the next.
                turn = self._failures.get(origin, 0)
                self._pools[origin] = self._connected(url, entry, turn)
            return self._pools[origin]

    def forget(self, url: ArchiveUrl) -> None:
        """Drop the connections to an origin that failed: the next attempt resolves anew."""
        origin = f"{url.scheme}://{url.authority}"
        with self._lock:
            pool = self._pools.pop(origin, None)
            self._failures[origin] = self._failures.get(origin, 0) + 1
        if pool is not None:
            pool.close()

    def close(self) -> None:
        """Close all connections, also those that another thread waits for."""
        self._lines.hang_up()
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    def _connected(self, url: ArchiveUrl, entry: AllowedPrefix, turn: int) -> Pool:
        host, port = host_of(url), _port_of(url)
        addresses = self._vetted(host, port, entry)
        address = addresses[turn % len(addresses)]
        timeout = urllib3.Timeout(
            connect=self._options.connect_timeout_seconds, read=self._options.read_timeout_seconds
        )
        if url.scheme == "http":
            plain = urllib3.HTTPConnectionPool(address, port, timeout=timeout, maxsize=8)
            plain.ConnectionCls = self._lines.noting(HTTPConnection)
            return plain
        secure = urllib3.HTTPSConnectionPool(
            address,
            port,
            timeout=timeout,
            maxsize=8,
            ssl_context=ssl.create_default_context(cafile=self._options.ca_file),
            # The pool knows an address; the certificate and the greeting are about the name.
            assert_hostname=host,
            server_hostname=host,
        )
        secure.ConnectionCls = self._lines.noting(HTTPSConnection)
        return secure

    def _vetted(self, host: str, port: int, entry: AllowedPrefix) -> list[str]:
        try:
            addresses = self._options.resolve(host, port)
        except OSError:
            raise Interrupted(f"{host} has no address") from None
        for address in addresses:
            if not entry.permits(address):
                raise SourceNotAllowed(f"{host} leads to a network that is not allowed for it")
        if not addresses:
            raise Interrupted(f"{host} has no address")
        return addresses


class _Lines:
    """The sockets of all connections, so that whoever waits for one can be made to stop."""

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        self.cut = False

    def noting(self, kind: type[Any]) -> type[Any]:
        """A kind of connection whose socket is noted here once it is connected."""
        lines = self

        class Noted(kind):  # type: ignore[misc] # of either kind
            def connect(self) -> None:
                super().connect()
                lines.note(self.sock)

        return Noted

    def note(self, line: socket.socket) -> None:
        """Know of one more, unless it comes too late."""
        with self._lock:
            if self.cut:
                raise OSError("this source was closed")
            self._sockets.add(line)

    def hang_up(self) -> None:
        """End every read from them, in whatever thread."""
        with self._lock:
            self.cut = True
            for line in self._sockets:
                with suppress(OSError):
                    # Of the socket below TLS: its own shutdown is not for another thread.
                    socket.socket.shutdown(line, socket.SHUT_RDWR)


def _port_of(url: ArchiveUrl) -> int:
    return urlsplit(f"//{url.authority}").port or SCHEMES[url.scheme].default_port or 0
