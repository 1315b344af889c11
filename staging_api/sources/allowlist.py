"""Decide which archives may be read, and which addresses may be connected to for them.

A host name proves nothing: its owner can point it at our own network. So the list names URL
prefixes, and a host that resolves to an address outside the public internet is reached only if the
entry allows that: by being that address (or ``localhost``), or by naming the network::

    gs://builds/, https://archive.example/releases/, http://depot.internal:8080/ 10.2.0.0/16
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from staging_api.errors import Invalid, SourceNotAllowed
from staging_api.sources.url import ArchiveUrl, most_specific_first, parse_prefix

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FIELD = "STAGING_SOURCES"
# RFC 6052: the last 32 bits are an address of IPv4, to which the connection really goes.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 3879 deprecates these addresses of private networks, and Python calls them global.
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")


@dataclass(frozen=True)
class AllowedPrefix:
    """One entry of the list: every URL below `url`, on public addresses and in `networks`."""

    url: ArchiveUrl
    networks: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Whether a connection to this IP address may be made for a URL of this entry."""
        ip = ipaddress.ip_address(address)
        if is_public(ip) or any(ip in network for network in self.networks):
            return True
        # An entry that is an address allows that address, wherever it is.
        host = host_of(self.url)
        return host == str(ip) or (host == "localhost" and ip.is_loopback)


class AllowList:
    """The archives that may be read; empty allows none."""

    def __init__(self, entries: tuple[AllowedPrefix, ...]) -> None:
        # The longest first: the most specific entry decides about networks and file roots.
        self.entries = tuple(sorted(entries, key=lambda entry: most_specific_first(entry.url)))

    @classmethod
    def parse(cls, setting: str) -> "AllowList":
        """Read a comma separated list: each entry a URL, then any networks it may resolve to.

        Raises:
            Invalid: of field ``STAGING_SOURCES``.
        """
        texts = [text.split() for text in setting.split(",")]
        return cls(tuple(_entry(words) for words in texts if words))

    def check(self, url: ArchiveUrl) -> AllowedPrefix:
        """Return the most specific entry that covers `url`.

        Raises:
            SourceNotAllowed: no entry covers it.
        """
        for entry in self.entries:
            if entry.url.covers(url):
                return entry
        raise SourceNotAllowed(f"{url.canonical} is outside the allowed sources")


def is_public(address: Address) -> bool:
    """Whether an address, and any IPv4 address embedded in it, is on the public internet."""
    return all(_is_public(each) for each in (address, *_embedded(address)))


def host_of(url: ArchiveUrl) -> str:
    """Return the host of an http URL, without port and brackets."""
    return urlsplit(f"//{url.authority}").hostname or ""


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None or address in _NAT64:
            return True  # judged by the IPv4 address inside
        if address in _SITE_LOCAL:
            return False
    # Python calls addresses of multicast, and some that are reserved, global.
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: Address) -> tuple[ipaddress.IPv4Address, ...]:
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(each for each in inner if each is not None)


def _entry(words: list[str]) -> AllowedPrefix:
    url = parse_prefix(words[0], _FIELD)
    if url.local and not url.segments:
        raise Invalid.field(_FIELD, "a file entry must name a folder below /")
    try:
        return AllowedPrefix(url, tuple(ipaddress.ip_network(word) for word in words[1:]))
    except ValueError:
        raise Invalid.field(_FIELD, "after its URL an entry may only name networks") from None
