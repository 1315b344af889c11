"""Which proxy a source is read through, by the environment: what curl and most tools obey.

``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy``, in lower case or upper case. This
machine itself is never reached through a proxy, whatever the environment says (as in Go): what an
allow-list permits here is not the proxy's.
"""

import ipaddress
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from staging_api.errors import SourceFailed, SourceRefused
from staging_api.sources.retrying import Interrupted

if TYPE_CHECKING:
    import urllib3

_PROXY_FORM = "the proxy of the environment must be http://host:port"
_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")
_NEEDS_CREDENTIAL, _DENIED = 407, (401, 403, 405)
#: What a proxy wants that answers 407.
PROXY_CREDENTIAL = "the proxy needs a credential: user:password@ in the variable that names it"


def proxy_for(scheme: str, host: str, port: int, proxies: Mapping[str, str]) -> str | None:
    """Return the proxy to a host; None if it is connected to."""
    proxy = proxies.get(scheme) or proxies.get("all")
    if not proxy or host == "localhost" or _is_excepted(host, port, proxies.get("no", "")):
        return None
    return _with_scheme(proxy)


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


def library_proxy(address: str, proxies: Mapping[str, str]) -> Mapping[str, str]:
    """Return options that keep a client of buckets from asking a proxy for this machine itself.

    The library reads the environment by itself, and would.

    Args:
        address: of the service of buckets; empty: its own, which is elsewhere.
        proxies: by the environment.
    """
    parts = urlsplit(address)
    host = parts.hostname or ""
    given = [proxies[scheme] for scheme in ("https", "all", "http") if proxies.get(scheme)]
    is_asked = proxy_for(parts.scheme, host, 0, {"all": "any"}) is not None
    if not host or not given or is_asked:
        return {}
    excepted = ",".join(filter(None, (host, proxies.get("no", ""))))
    return {"proxy_url": _with_scheme(given[0]), "proxy_excludes": excepted}


def proxy_failure(host: str, error: "urllib3.exceptions.ProxyError") -> SourceFailed:
    """Return what it means that a proxy made no connection to a host."""
    found = _TUNNEL_REFUSED.search(str(error.args[-1]))
    if found is None:
        return Interrupted(f"{host} could not be reached through the proxy")
    status = int(found[1])
    if status == _NEEDS_CREDENTIAL:
        return SourceRefused(
            f"{host} could not be reached with status {status}: {PROXY_CREDENTIAL}"
        )
    if status in _DENIED:
        return SourceRefused(f"the proxy refuses to connect to {host}, with status {status}")
    return Interrupted(f"{host} could not be reached: the proxy answered with status {status}")


def _with_scheme(proxy: str) -> str:
    return proxy if "://" in proxy else f"http://{proxy}"


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
