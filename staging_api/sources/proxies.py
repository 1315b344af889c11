"""Which proxy a source is read through, by the environment: what curl and most tools obey.

``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, in lower case or upper case. This
machine itself is never reached through a proxy, whatever the environment says (as in Go): what an
allow-list permits here is not the proxy's.
"""

import ipaddress
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from staging_api.errors import SourceRefused

if TYPE_CHECKING:
    import urllib3

_PROXY_FORM = "the proxy of the environment must be http://host:port"


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> str | None:
    """Return the proxy to a host; None if it is connected to."""
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or host == "localhost" or _is_excepted(host, port, proxies.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def proxy_pools(proxy: str, **options: object) -> "urllib3.ProxyManager":
    """Return what makes connections through a proxy; `options` are those of its pools.

    Raises:
        SourceRefused: it is none of HTTP.
    """
    import urllib3

    try:
        parts = urlsplit(proxy)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError:  # a bracket that is not closed, or a port that is none
        raise SourceRefused(_PROXY_FORM) from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SourceRefused(_PROXY_FORM)
    headers = None
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers = urllib3.make_headers(proxy_basic_auth=secret)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    address = f"{parts.scheme}://{host}:{port}"
    return urllib3.ProxyManager(address, proxy_headers=headers, **options)  # type: ignore[arg-type]


def _is_excepted(host: str, port: int, exceptions: str) -> bool:
    """Whether a host is this machine, or one of the exceptions: a name, a domain or a network."""
    words = exceptions.lower().replace(",", " ").split()
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        names = [word.removesuffix(f":{port}").lstrip(".") for word in words]
        return any(name == "*" or f".{host}".endswith(f".{name}") for name in names if name)
    return address.is_loopback or "*" in words or any(_has(word, address) for word in words)


def _has(word: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(word, strict=False)
    except ValueError:
        return False
