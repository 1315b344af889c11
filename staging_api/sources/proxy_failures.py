"""Errors of proxies: an unusable proxy setting, or a proxy that did not connect to a source."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from staging_api.errors import SourceFailed, SourceRefused
from staging_api.sources.retrying import Interrupted

if TYPE_CHECKING:
    import urllib3

_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: (\d{3})")
_NEEDS_CREDENTIAL, _DENIED = 407, (401, 403, 405)
#: Hint for responses with status 407.
PROXY_CREDENTIAL = "the proxy needs a credential: user:password@ in the variable that names it"


@contextmanager
def usable_proxy() -> Iterator[None]:
    """Translate errors while connection pools are created, which may use a proxy.

    Raises:
        SourceRefused: the environment names something that is not a proxy.
    """
    try:
        yield
    except ValueError as error:
        raise SourceRefused(str(error)) from None


def proxy_failure(host: str, error: "urllib3.exceptions.ProxyError") -> SourceFailed:
    """Return the error for a proxy that did not connect to a host."""
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
