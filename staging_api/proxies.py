"""Which proxy another machine is asked through, by the environment: what curl and most tools obey.

``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, in lower case or upper case. This
machine itself is never reached through a proxy, whatever the environment says (as in Go): what an
allow-list permits here is not the proxy's. Sources, stores in buckets and exports to buckets ask
all alike, whether the requests are ours or those of the library of buckets.
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
#: Every host, in the words of the library.
_ALL_HOSTS = "*,0.0.0.0/0,::/0"
#: Where platforms hand out credentials, over http.
_PLATFORM = ("169.254.0.0/16", "fd00:ec2::/32", "metadata.google.internal")


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> str | None:
    """Return the proxy to a host; None if it is connected to."""
    proxy = _proxy_of(scheme, proxies)
    if not proxy or host == "localhost" or _is_excepted(host, _exceptions(proxies, port)):
        return None
    return proxy


def proxy_to(address: str, proxies: Mapping[str, str]) -> str | None:
    """Return the proxy to the host of an address; None if it is connected to."""
    scheme, host, port = _place(address)
    return proxy_for(scheme, host, port, proxies)


def pools_by(proxy: str | None, **options: Any) -> "urllib3.PoolManager":
    """Return what makes connections through a proxy, or without one.

    Args:
        proxy: None: none.
        options: of the pools.

    Raises:
        ValueError: it is none of HTTP.
    """
    import urllib3

    if proxy is None:
        return urllib3.PoolManager(**options)
    form = "the proxy of the environment must be http://host:port"
    try:
        parts = urlsplit(proxy)
        port = parts.port or _PORTS.get(parts.scheme)
    except ValueError:  # a bracket that is not closed, or a port that is none
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
    """Return options by which the library asks a proxy for a bucket as `proxy_for` would.

    It reads the environment by itself, but asks a proxy for this machine, too, and does not know
    exceptions with a port or between spaces. Nothing is returned where it does the same by itself.

    Args:
        scheme: of the service of buckets.
        where: values of its options.
        proxies: by the environment.
    """
    endpoint = where.get("endpoint") or environment.bucket_options(scheme).get("endpoint", "")
    kind, host, port = _place(endpoint or SERVICES[scheme].address_of(where))
    excepted = _exceptions(proxies, port)
    is_direct = bool(host) and proxy_for(kind, host, port, {**proxies, "all": "x"}) is None
    if is_direct and host not in excepted:
        excepted.append(host)
    if set(excepted) <= set(proxies.get("no", "").lower().split(",")):
        return {}
    # Of a host that is connected to, only requests for credentials are left, which are https.
    proxy = _proxy_of("https" if is_direct else kind, proxies)
    if proxy:
        return {"proxy_url": proxy, "proxy_excludes": ",".join([*excepted, *_PLATFORM])}
    other = _proxy_of("http", proxies)
    return {"proxy_url": other, "proxy_excludes": _ALL_HOSTS} if other and is_direct else {}


def _place(address: str) -> tuple[str, str, int]:
    """Return scheme, host and port; without a host where it has none that can be read."""
    try:
        parts = urlsplit(address)
        return (
            parts.scheme or "https",
            parts.hostname or "",
            parts.port or _PORTS.get(parts.scheme, 443),
        )
    except ValueError:  # a bracket that is not closed, or a port that is none
        return "https", "", 443


def _proxy_of(scheme: str, proxies: Mapping[str, str]) -> str:
    proxy = proxies.get(scheme) or proxies.get("all", "")
    return f"http://{proxy}" if proxy and "://" not in proxy else proxy


def _exceptions(proxies: Mapping[str, str], port: int) -> list[str]:
    """Return the words of ``no_proxy``, without the port in those that have this one."""
    words = proxies.get("no", "").lower().replace(",", " ").split()
    return [word if _is_address(word) else word.removesuffix(f":{port}") for word in words]


def _is_excepted(host: str, words: list[str]) -> bool:
    """Whether a host is this machine, or one of the exceptions: a name, a domain or a network."""
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
