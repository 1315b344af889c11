"""Client address of a request, found through proxies that the operator trusts.

A proxy adds the address of its peer to ``X-Forwarded-For`` or ``Forwarded`` (RFC 7239). Any client
can send these headers, so they are read only in requests from a trusted proxy, from right to left,
up to the first address that is not a trusted proxy. A proxy passes the header that it does not know
through as the client sent it; if both headers are present and disagree, neither is used, and the
proxy's own address counts as the client's.
"""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from staging_api.errors import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Used as the address of a client on a Unix socket.
UNIX = "unix"
_SETTING = "STAGING_TRUSTED_PROXIES"
# A client can send thousands of hops, and each would be parsed. Only the last ones are read.
_MOST_HOPS = 32
# An IPv6 client usually owns a whole network of this size.
_IPV6_CLIENT_BITS = 64
_FOR = re.compile(r'(?:^|;)\s*for\s*=\s*(?:"([^"]*)"|([^;,"\s]+))', re.IGNORECASE)
_WITH_PORT = re.compile(r"(?:\[([^\]]+)\]|([0-9.]+))(?::\d+)?")


@dataclass(frozen=True)
class TrustedProxies:
    """Proxies whose forwarding headers are trusted."""

    networks: tuple[Network, ...] = ()
    unix: bool = False

    @classmethod
    def parse(cls, setting: str) -> "TrustedProxies":
        """Parse a comma separated list of addresses, networks and ``unix``.

        Raises:
            Invalid: an item is neither an address, a network nor ``unix``.
        """
        names = [name.strip() for name in setting.split(",") if name.strip()]
        networks = [_network(name) for name in names if name != UNIX]
        return cls(tuple(networks), UNIX in names)

    def client_of(self, environ: Mapping[str, Any]) -> str:
        """Return the client's address as text, or the peer's if the headers give no better one."""
        peer = environ.get("REMOTE_ADDR") or ""
        found = _address(peer)
        # A socket file has no peer address.
        if found is None:
            if not self.unix:
                return UNIX
        elif not self._trusts(found):
            return _text(found)
        said = {
            client
            for hops in (_of_x_forwarded_for(environ), _of_forwarded(environ))
            if (client := self._first_untrusted(hops)) is not None
        }
        if len(said) == 1:
            return str(said.pop())
        return UNIX if found is None else str(found)

    def _first_untrusted(self, hops: list[str]) -> Address | None:
        """Return the rightmost hop that is not a trusted proxy, else the last known address."""
        last = None
        for hop in reversed(hops[-_MOST_HOPS:]):
            found = _address(hop)
            if found is None:
                return last
            last = found
            if not self._trusts(found):
                return found
        return last

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self.networks)


#: Trust no proxy.
NO_PROXIES = TrustedProxies()


def share_of(address: str) -> str:
    """Return the key of a client for limits: its address, or its network for IPv6."""
    found = _address(address)
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(found), _IPV6_CLIENT_BITS), strict=False))
    return address


def _of_x_forwarded_for(environ: Mapping[str, Any]) -> list[str]:
    return _split(environ.get("HTTP_X_FORWARDED_FOR", ""))


def _of_forwarded(environ: Mapping[str, Any]) -> list[str]:
    return list(_fors(environ.get("HTTP_FORWARDED", "")))


def _fors(header: str) -> Iterator[str]:
    for element in _split(header):
        found = _FOR.search(element)
        # An element without ``for`` is a hop with an unknown address.
        yield (found[1] or found[2] or "") if found else ""


def _split(header: str) -> list[str]:
    return [part.strip() for part in header.split(",")] if header.strip() else []


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    """Parse an address with or without a port; None for a name, ``unknown`` or empty text."""
    with_port = _WITH_PORT.fullmatch(text)
    try:
        found = ipaddress.ip_address((with_port[1] or with_port[2]) if with_port else text)
    except ValueError:
        return None
    # A dual-stack socket shows an IPv4 peer as ``::ffff:10.0.0.1``, which would match no IPv4
    # network.
    mapped = found.ipv4_mapped if isinstance(found, ipaddress.IPv6Address) else None
    return mapped or found


@lru_cache(maxsize=1024)
def _text(address: Address) -> str:
    """Format an address; cached, because formatting costs more than a cache hit."""
    return str(address)


def _network(name: str) -> Network:
    try:
        return ipaddress.ip_network(name, strict=False)
    except ValueError:
        raise Invalid.field(
            _SETTING, f"{name!r} must be an address, a network such as 10.0.0.0/8, or unix"
        ) from None
