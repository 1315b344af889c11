"""Connections to http origins: resolve a host once, check its addresses, connect to one of them.

A host name is resolved once, all its addresses must be permitted, and the connection uses one of
them: a name that resolves differently the second time (DNS rebinding) has no effect. TLS still
verifies the name, not the address.

Through a proxy, it is the proxy that resolves and connects, so its own rules decide about
addresses; a name that can be resolved here is checked nevertheless.
"""

import http.client
import logging
import socket
import threading
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit
from weakref import WeakSet

import urllib3

from staging_api.call_deadline import LimitedHttpConnection, LimitedHttpsConnection
from staging_api.errors import SourceFailed, SourceNotAllowed
from staging_api.proxies import pools_by, proxy_for
from staging_api.sources.allowlist import AllowedPrefix, host_of
from staging_api.sources.model import SourceOptions
from staging_api.sources.proxy_failures import usable_proxy
from staging_api.sources.retrying import Interrupted
from staging_api.sources.tls import trusting
from staging_api.sources.url import SCHEMES, ArchiveUrl

log = logging.getLogger(__name__)

Pool = urllib3.HTTPConnectionPool
#: Pseudo header with the exact bytes of the request target. urllib3 would change the escapes of a
#: path, and log its query.
SENT_TARGET = ":target"
#: Connections kept open for each origin: as many as one download uses in parallel.
_CONNECTIONS = 8
_SWITCHING, _LEAST_FINAL = 101, 200


class OriginPools:
    """Connection pools, one for each checked origin."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._pools: dict[str, Pool] = {}
        self._failures: dict[str, int] = {}
        self._sockets = _Sockets()
        self._lock = threading.Lock()

    def pool(self, url: ArchiveUrl, entry: AllowedPrefix) -> Pool:
        """Return connections to the origin of `url`, which `entry` of the allow-list covers.

        Raises:
            SourceNotAllowed: one of its addresses is not permitted.
            Interrupted: it has no address at the moment, or the authorities cannot be read.
            SourceFailed: the source was closed.
        """
        if self._sockets.cut:
            raise SourceFailed("this source was closed")
        origin = f"{url.scheme}://{url.authority}"
        with self._lock:
            if origin not in self._pools:
                # After each failure the next address is used.
                turn = self._failures.get(origin, 0)
                self._pools[origin] = self._connected(url, entry, turn)
            return self._pools[origin]

    def drop(self, url: ArchiveUrl) -> None:
        """Drop the connections to a failed origin: the next attempt resolves its name again."""
        origin = f"{url.scheme}://{url.authority}"
        with self._lock:
            # The pool closes its connections after the last response that uses one of them.
            self._pools.pop(origin, None)
            self._failures[origin] = self._failures.get(origin, 0) + 1

    def close(self) -> None:
        """Close all connections, including those that another thread is waiting for."""
        self._sockets.shut_down()
        with self._lock:
            for pool in self._pools.values():
                pool.close()

    def _connected(self, url: ArchiveUrl, entry: AllowedPrefix, turn: int) -> Pool:
        host, port = host_of(url), _port_of(url)
        timeout = urllib3.Timeout(
            connect=self._options.connect_timeout_seconds, read=self._options.read_timeout_seconds
        )
        proxy = proxy_for(url.scheme, host, port, self._options.proxies)
        if proxy is not None:
            self._vet_if_known(host, port, entry)
            return self._proxied(url, proxy, timeout)
        addresses = self._vetted(host, port, entry)
        address = addresses[turn % len(addresses)]
        if url.scheme == "http":
            plain = urllib3.HTTPConnectionPool(address, port, timeout=timeout, maxsize=_CONNECTIONS)
            plain.ConnectionCls = self._sockets.tracking(LimitedHttpConnection)
            return plain
        secure = urllib3.HTTPSConnectionPool(
            address,
            port,
            timeout=timeout,
            maxsize=_CONNECTIONS,
            ssl_context=trusting(self._options.ca_file),
            # The pool connects to an address; certificate and SNI use the name.
            assert_hostname=host,
            server_hostname=host,
        )
        secure.ConnectionCls = self._sockets.tracking(LimitedHttpsConnection)
        return secure

    def _proxied(self, url: ArchiveUrl, proxy: str, timeout: urllib3.Timeout) -> Pool:
        """Return connections through a proxy, which resolves the host name itself."""
        context = trusting(self._options.ca_file)
        with usable_proxy():
            manager = pools_by(proxy, timeout=timeout, maxsize=_CONNECTIONS, ssl_context=context)
        pool = manager.connection_from_host(host_of(url), _port_of(url), url.scheme)
        kind = LimitedHttpsConnection if url.scheme == "https" else LimitedHttpConnection
        pool.ConnectionCls = self._sockets.tracking(kind)
        return pool

    def _vet_if_known(self, host: str, port: int, entry: AllowedPrefix) -> None:
        """Refuse a name that leads to our own network, if this machine can resolve the name."""
        try:
            self._vetted(host, port, entry)
        except Interrupted:
            log.debug("%s is resolved by the proxy only", host)

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


class _Sockets:
    """The sockets of all connections, so that a thread waiting for one can be stopped."""

    def __init__(self) -> None:
        self._sockets: WeakSet[socket.socket] = WeakSet()
        self._lock = threading.Lock()
        self.cut = False

    def tracking(self, kind: type[Any]) -> type[Any]:
        """Return a subclass of a connection class that registers its socket once connected."""
        sockets = self

        class TrackedConnection(kind):  # type: ignore[misc] # of either kind
            response_class = _FinalResponse

            def connect(self) -> None:
                super().connect()
                sockets.add(self.sock)

            def request(
                self, method: str, url: str, *, headers: dict[str, str], **rest: Any
            ) -> None:
                target = headers.pop(SENT_TARGET)
                super().request(method, target, headers=headers, **rest)

        return TrackedConnection

    def add(self, sock: socket.socket) -> None:
        """Register a socket, unless the source was closed."""
        with self._lock:
            if self.cut:
                raise OSError("this source was closed")
            self._sockets.add(sock)

    def shut_down(self) -> None:
        """End all reads from the sockets, in any thread."""
        with self._lock:
            self.cut = True
            for sock in self._sockets:
                with suppress(OSError):
                    # shutdown() of the socket below TLS, because the method of the TLS socket is
                    # not thread-safe.
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)


class _FinalResponse(http.client.HTTPResponse):
    """Skips all interim responses (RFC 9110, 15.2); the standard library skips only status 100."""

    def _read_status(self) -> tuple[str, int, str]:
        while True:
            found: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if not _SWITCHING < found[1] < _LEAST_FINAL:
                return found
            http.client.parse_headers(self.fp)


def _port_of(url: ArchiveUrl) -> int:
    return urlsplit(f"//{url.authority}").port or SCHEMES[url.scheme].default_port or 0
