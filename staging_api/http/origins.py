"""Requests that a browser sends for a page of another site: refused where they would do something.

A page can make a browser send a GET, or a POST without a type, to any address that its user can
reach, and a name of the page's own site can be made to resolve to that address (DNS rebinding).
Where no credential is needed, that is all it takes to stage or evict. A page cannot change three
headers that show it: ``Sec-Fetch-Site``, which browsers send to https and to loopback addresses;
``Origin``, sent with each POST; and ``Referer``. Programs send none of them.
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
        """Take requests for `hosts` only; none, or ``*``, for any."""
        self._permissions = permissions
        self._hosts = frozenset() if _ANY in hosts else frozenset(map(_plain, hosts))

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Look at the name by which we were found.

        Raises:
            Forbidden: it is none of ours.
        """
        host = req.env.get("HTTP_HOST")
        if self._hosts and host is not None and _plain_name(host) not in self._hosts:
            raise Forbidden(
                f"{_name(host)!r} is no name of this service: STAGING_HOSTS lists its names"
            )

    def process_resource(
        self, req: falcon.Request, _resp: falcon.Response, _resource: Any, _params: Any
    ) -> None:
        """Look where a request that does something comes from.

        Raises:
            Forbidden: from a page of another site.
        """
        changes = self._permissions.changes_something(req.uri_template, req.method)
        if changes and _is_of_another_site(req):
            raise Forbidden("a page of another site may not do this")


def hosts_of(setting: str, bind: str, *, anybody_may_call: bool) -> list[str]:
    """The names under which a process takes requests; none: under any.

    Args:
        setting: names, separated by commas; empty leaves it to the others.
        bind: the addresses that it listens on, separated by commas.
        anybody_may_call: no credential is required. Then loopback addresses have only the names
            that such addresses have.
    """
    if setting.strip():
        return [host.strip() for host in setting.split(",") if host.strip()]
    binds = bind.split(",")
    # At a path no name is right or wrong, and others reach an address that is not loopback.
    if not anybody_may_call or not all(map(is_loopback, binds)):
        return []
    return ["localhost", "127.0.0.1", "::1", *map(_name, binds)]


def is_loopback(host: str) -> bool:
    """Return whether a host, with a port or without, is this machine's for itself alone.

    A name is compared as a whole: localhost.example.org is another machine's.
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
    # With its port: another port is another site's program as likely as not.
    return _netloc(page) != (req.get_header("Host") or "").strip().lower()


def _netloc(url: str) -> str:
    try:
        parts = urlsplit(url.strip())
        default = {"http": ":80", "https": ":443"}.get(parts.scheme, "")
    except ValueError:
        return ""
    # Browsers leave the default port out of Origin, and out of Host.
    return parts.netloc.rpartition("@")[2].lower().removesuffix(default)


def _name(host: str) -> str:
    """A host without its port; of an IPv6 address without the brackets."""
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
