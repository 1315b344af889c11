"""What it means that there is no proxy to ask, or that it made no connection to a source."""

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
#: What a proxy wants that answers 407.
PROXY_CREDENTIAL = "the proxy needs a credential: user:password@ in the variable that names it"


@contextmanager
def usable_proxy() -> Iterator[None]:
    """Make pools of connections, which may be those of a proxy.

    Raises:
        SourceRefused: what the environment names is no proxy.
    """
    try:
        yield
    except ValueError as error:
        raise SourceRefused(str(error)) from None


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
