"""Find the address of an http origin, and connect to that address and no other.

A host name is resolved once, every address it has must be permitted, and the connection goes to
one of the addresses that were looked at: a name that answers differently the second time (DNS
rebinding) gains nothing. TLS still proves the name, not the address.
"""

import ssl
import threading
from urllib.parse import urlsplit

import urllib3

from staging_api.errors import SourceNotAllowed
from staging_api.sources.allowlist import AllowedPrefix, host_of
from staging_api.sources.model import SourceOptions
from staging_api.sources.retrying import Interrupted
from staging_api.sources.url import DEFAULT_PORTS, ArchiveUrl

Pool = urllib3.HTTPConnectionPool


class Origins:
    """One pool of connections for each origin that was vetted."""

    def __init__(self, options: SourceOptions) -> None:
        self._options = options
        self._pools: dict[str, Pool] = {}
        self._failures: dict[str, int] = {}
        self._lock = threading.Lock()

    def pool(self, url: ArchiveUrl, entry: AllowedPrefix) -> Pool:
        """Connections to the origin of `url`, which `entry` of the allow-list covers.

        Raises:
            SourceNotAllowed: one of its addresses is not permitted.
            Interrupted: it has no address just now.
        """
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
        """Close all connections."""
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
            return urllib3.HTTPConnectionPool(address, port, timeout=timeout, maxsize=8)
        return urllib3.HTTPSConnectionPool(
            address,
            port,
            timeout=timeout,
            maxsize=8,
            ssl_context=ssl.create_default_context(cafile=self._options.ca_file),
            # The pool knows an address; the certificate and the greeting are about the name.
            assert_hostname=host,
            server_hostname=host,
        )

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


def _port_of(url: ArchiveUrl) -> int:
    return urlsplit(f"//{url.authority}").port or DEFAULT_PORTS[url.scheme] or 0
