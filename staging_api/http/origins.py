"""Check of a request's origin: a page of another site must not change anything through a browser.

A page can make a browser send a GET, or a POST without a type, to any address that its user can
reach, and a name of the page's own site can be made to resolve to that address (DNS rebinding).
Where no credential is required, such a request is enough to stage or evict. A page cannot change
three headers that reveal its site: ``Sec-Fetch-Site``, which browsers send to https and to loopback
addresses; ``Origin``, sent with each POST; and ``Referer``. Programs send none of them.
"""

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import falcon

from staging_api.errors import Forbidden
from staging_api.http.permissions import Permissions

# Another host of the same domain, or another port, is another's program.
_OTHER_SITES = frozenset({"cross-site", "same-site"})
_ANY = "*"


class OriginCheck:
    """Middleware that refuses requests from other sites, or to a host name that is not ours."""

    def __init__(self, permissions: Permissions, hosts: Collection[str] = ()) -> None:
        """Accept requests for `hosts` only; an empty list, or ``*``, accepts any host."""
        self._permissions = permissions
        self._hosts = frozenset() if _ANY in hosts else frozenset(map(_plain, hosts))

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Check the host name to which the request was sent.

        Raises:
            Forbidden: the name is not one of the service's.
        """
        host = req.env.get("HTTP_HOST")
        if self._hosts and host is not None and _plain_name(host) not in self._hosts:
            raise Forbidden(
                f"{_name(host)!r} is no name of this service: STAGING_HOSTS lists its names"
            )

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, _resource: Any, _params: Any
    ) -> None:
        """Check the origin of a request that changes something.

        Raises:
            Forbidden: it comes from a page of another site.
        """
        changes = self._permissions.changes_something(req.uri_template, req.method)
        if changes and _is_of_another_site(req):
            raise Forbidden("a page of another site may not do this")


def hosts_of(setting: str, bind: str, *, anybody_may_call: bool) -> list[str]:
    """Return the host names under which a process accepts requests; empty: any name.

    Args:
        setting: names, separated by commas; empty derives them from the other arguments.
        bind: the addresses that the process listens on, separated by commas.
        anybody_may_call: no credential is required. Then a process on loopback addresses accepts
            only the names of such addresses.
    """
    if setting.strip():
        return [host.strip() for host in setting.split(",") if host.strip()]
    binds = bind.split(",")
    # A socket file has no host name, and other machines may reach an address that is not loopback
    # by names that this process does not know.
    if not anybody_may_call or not all(map(is_loopback, binds)):
        return []
    return ["localhost", "127.0.0.1", "::1", *map(_name, binds)]


def is_loopback(host: str) -> bool:
    """Return whether a host, with or without a port, is a loopback address of this machine.

    A name is compared as a whole: localhost.example.org is another machine.
    """
    name = _name(host)
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return _plain(name) == "localhost"


def _is_of_another_site(req: falcon.Request) -> bool:
    site = req.get_header("Sec-Fetch-Site")
    if site is not None:
        return site.strip().lower() in _OTHER_SITES
    page = req.get_header("Origin") or req.get_header("Referer")
    if page is None:
        return False
    # With its port: a program on another port may well belong to another site.
    return _netloc(page) != (req.get_header("Host") or "").strip().lower()


def _netloc(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    except ValueError:
        return ""
    # Browsers leave the default port out of Origin and of Host.
    return parts.netloc.rpartition("@")[2].lower().removesuffix(default)


def _name(host: str) -> str:
    """Return a host without its port, and an IPv6 address without its brackets."""
    host = host.strip()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host


@lru_cache(maxsize=256)
def _plain_name(host: str) -> str:
    return _plain(_name(host))


def _plain(host: str) -> str:
    # ``example.org.`` is the same name, fully qualified.
    return host.strip("[]").rstrip(".").lower()
