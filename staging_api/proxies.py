"""Choice of the HTTP proxy by the environment variables that curl and most tools obey.

``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, in lower case or upper case. This
machine itself is never reached through a proxy, whatever the environment says (as in Go): an
allow-list that permits loopback means this machine, not the proxy's. Sources, stores in buckets and
exports to buckets use the same rules, whether the requests are ours or the bucket library's.
"""

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from staging_api import environment
from staging_api.buckets import SERVICES

if TYPE_CHECKING:
    import urllib3

_PORTS = {"http": 80, "https": 443}
#: All hosts, in the library's syntax.
_ALL_HOSTS = "*,0.0.0.0/0,::/0"
#: Addresses at which platforms issue credentials, over http.
_PLATFORM = ("169.254.0.0/16", "fd00:ec2::/32", "metadata.google.internal")


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> str | None:
    """Return the proxy for a host; None for a direct connection."""
    proxy = _proxy_of(scheme, proxies)
    if not proxy or host == "localhost" or _is_excepted(host, _exceptions(proxies, port)):
        return None
    return proxy


def proxy_to(address: str, proxies: Mapping[str, str]) -> str | None:
    """Return the proxy for the host of an address; None for a direct connection."""
    scheme, host, port = _place(address)
    return proxy_for(scheme, host, port, proxies)


def pools_by(proxy: str | None, **options: Any) -> "urllib3.PoolManager":
    """Return a pool manager with or without a proxy.

    Args:
        proxy: URL of the proxy; None: direct connections.
        options: options of the pools.

    Raises:
        ValueError: the proxy is not an HTTP proxy.
    """
    import urllib3

    if proxy is None:
        return urllib3.PoolManager(**options)
    form = "the proxy of the environment must be http://host:port"
    try:
        parts = urlsplit(proxy)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # an unclosed bracket, or an invalid port
        raise ValueError(form) from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(form)
    headers = None
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=secret)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = f"{parts.scheme}://{host}:{port}"
    return urllib3.ProxyManager(address, proxy_headers=headers, **options)


def library_proxy(
    scheme: str, where: Mapping[str, str], proxies: Mapping[str, str]
) -> Mapping[str, str]:
    """Return options by which the library uses the proxy that `proxy_for` would choose.

    The library reads the environment itself, but uses a proxy for this machine, too, and does not
    understand exceptions with a port or between spaces. The result is empty if the library makes
    the same choice without options.

    Args:
        scheme: scheme of the bucket service.
        where: values of the service's options.
        proxies: proxies from the environment, by scheme.
    """
    endpoint = where.get("endpoint") or environment.bucket_options(scheme).get("endpoint", "")
    kind, host, port = _place(endpoint or SERVICES[scheme].address_of(where))
    excepted = _exceptions(proxies, port)
    is_direct = bool(host) and proxy_for(kind, host, port, {**proxies, "all": "x"}) is None
    if is_direct and host not in excepted:
        excepted.append(host)
    if set(excepted) <= set(proxies.get("no", "").lower().split(",")):
        return {}
    # With a direct connection to the host, only requests for credentials may use a proxy; they are
    # https.
    proxy = _proxy_of("https" if is_direct else kind, proxies)
    if proxy:
        return {"proxy_url": proxy, "proxy_excludes": ",".join([*excepted, *_PLATFORM])}
    other = _proxy_of("http", proxies)
    return {"proxy_url": other, "proxy_excludes": _ALL_HOSTS} if other and is_direct else {}


def _place(address: str) -> tuple[str, str, int]:
    """Return scheme, host and port; an empty host if the address has none that can be parsed."""
    try:
        parts = urlsplit(address)
        return (
            parts.scheme or "https",
            parts.hostname or "",
            parts.port or _PORTS.get(parts.scheme, 443),
        )
    except ValueError:  # an unclosed bracket, or an invalid port
        return "https", "", 443


def _proxy_of(scheme: str, proxies: Mapping[str, str]) -> str:
    proxy = proxies.get(scheme) or proxies.get("all", "")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _exceptions(proxies: Mapping[str, str], port: int) -> list[str]:
    """Return the words of ``no_proxy``, with this port removed from those that have it."""
    words = proxies.get("no", "").lower().replace(",", " ").split()
    return [word if _is_address(word) else word.removesuffix(f":{port}") for word in words]


def _is_excepted(host: str, words: list[str]) -> bool:
    """Return whether a host is this machine, or an exception: a name, a domain or a network."""
    if not _is_address(host):
        names = [word.lstrip(".") for word in words]
        return any(name == "*" or f".{host}".endswith(f".{name}") for name in names if name)
    address = ipaddress.ip_address(host)
    return address.is_loopback or "*" in words or any(_has(word, address) for word in words)


def _is_address(word: str) -> bool:
    try:
        ipaddress.ip_address(word)
    except ValueError:
        return False
    return True


def _has(word: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(word.strip("[]"), strict=False)
    except ValueError:
        return False
