"""Allow-list of the archives that may be read, and of the addresses to connect to for them.

A host name proves nothing: its owner can point it at our own network. So the list has URL prefixes,
and a host that resolves to an address outside the public internet is contacted only if its entry
allows that: because the entry is that address (or ``localhost``), or names the network::

    gs://builds/, https://archive.example/releases/, http://depot.internal:8080/ 10.2.0.0/16
"""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from staging_api.errors import Invalid, SourceNotAllowed
from staging_api.sources.url import ArchiveUrl, most_specific_first, parse_setting

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_FIELD = "STAGING_SOURCES"
# RFC 6052: the last 32 bits are an IPv4 address, which is the real destination of the connection.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# RFC 3879 deprecates these addresses of private networks, but Python calls them global.
_SITE_LOCAL = ipaddress.IPv6Network("fec0::/10")


@dataclass(frozen=True)
class AllowedPrefix:
    """An entry of the list: all URLs below `url`, on public addresses and in `networks`."""

    url: ArchiveUrl
    networks: tuple[Network, ...] = ()

    def permits(self, address: str) -> bool:
        """Return whether a URL of this entry allows a connection to this IP address."""
        ip = ipaddress.ip_address(address)
        if is_public(ip) or any(ip in network for network in self.networks):
            return True
        # An entry that is an address allows that address, even outside the public internet.
        host = host_of(self.url)
        return host == str(ip) or (host == "localhost" and ip.is_loopback)


class AllowList:
    """The archives that may be read; an empty list allows none."""

    def __init__(self, entries: tuple[AllowedPrefix, ...]) -> None:
        # Longest first: the most specific entry decides about networks and file roots.
        self.entries = tuple(sorted(entries, key=lambda entry: most_specific_first(entry.url)))

    @classmethod
    def parse(cls, setting: str) -> "AllowList":
        """Parse a comma-separated list of URLs, each followed by networks that it may resolve to.

        Raises:
            Invalid: of field ``STAGING_SOURCES``.
        """
        texts = [text.split() for text in setting.split(",")]
        return cls(tuple(_entry(words) for words in texts if words))

    def check(self, url: ArchiveUrl) -> AllowedPrefix:
        """Return the most specific entry that covers `url`.

        Raises:
            SourceNotAllowed: no entry covers the URL.
        """
        for entry in self.entries:
            if entry.url.covers(url):
                return entry
        raise SourceNotAllowed(f"{url.canonical} is outside the allowed sources")


def is_public(address: Address) -> bool:
    """Return whether an address, with any embedded IPv4 address, is on the public internet."""
    return all(_is_public(each) for each in (address, *_embedded(address)))


def host_of(url: ArchiveUrl) -> str:
    """Return the host of an http URL, without port and brackets."""
    return urlsplit(f"//{url.authority}").hostname or ""


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None or address in _NAT64:
            return True  # decided by the embedded IPv4 address
        if address in _SITE_LOCAL:
            return False
    # Python calls multicast addresses, and some reserved ones, global.
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: Address) -> tuple[ipaddress.IPv4Address, ...]:
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    inner = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return tuple(each for each in inner if each is not None)


def _entry(words: list[str]) -> AllowedPrefix:
    url = parse_setting(words[0], _FIELD)
    if url.local and not url.segments:
        raise Invalid.field(_FIELD, f"{words[0]!r}: a file entry must name a folder below /")
    try:
        return AllowedPrefix(url, tuple(ipaddress.ip_network(word) for word in words[1:]))
    except ValueError:
        raise Invalid.field(
            _FIELD, f"{' '.join(words[1:])!r}: after its URL an entry may only name networks"
        ) from None
