"""Addresses at which processes of this service listen: ``address:port`` or ``unix:/path``."""

import errno
import socket
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from staging_api.environment import has_sockets_of_systemd
from staging_api.errors import AddressTaken

_UNIX = "unix:"
_BACKLOG = 128
_HIGHEST_PORT = 65535
# A process that is being replaced may take this long to release its address.
_PATIENCE_SECONDS = 5.0
_LOOK_SECONDS = 0.2


def unix_path(bind: str) -> Path | None:
    """Return the path of a Unix socket address; None if `bind` is another kind of address."""
    return Path(bind.removeprefix(_UNIX)) if bind.startswith(_UNIX) else None


def bound(bind: str) -> socket.socket:
    """Return a socket that is bound to the address, and does not listen yet.

    Raises:
        ValueError: `bind` does not have the form ``address:port``.
        OSError: this machine refuses the address.
    """
    path = unix_path(bind)
    if path is not None:
        with suppress(FileNotFoundError):
            path.unlink()  # left by a process that has ended
        return _bind(socket.socket(socket.AF_UNIX), str(path))
    host, colon, port = bind.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > _HIGHEST_PORT:
        raise ValueError(bind)
    family, kind, _, _, address = socket.getaddrinfo(
        host.strip("[]") or None, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return _bind(found, address)


def listener(bind: str) -> socket.socket:
    """Return a listening socket.

    Raises:
        OSError: this machine refuses the address.
    """
    found = bound(bind)
    found.listen(_BACKLOG)
    return found


def wait_until_free(setting: str, bind: str) -> None:
    """Wait a few seconds until another program has released the address.

    Raises:
        AddressTaken: the address is still in use; names the setting.
    """
    if has_sockets_of_systemd():
        return
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while _is_taken(bind):
        if time.monotonic() >= deadline:
            raise AddressTaken(
                f"{setting}: another program listens at {bind}; end it, or choose another address"
            )
        time.sleep(_LOOK_SECONDS)


def _bind(found: socket.socket, address: Any) -> socket.socket:
    try:
        found.bind(address)
    except OSError:
        found.close()
        raise
    return found


def _is_taken(bind: str) -> bool:
    path = unix_path(bind)
    try:
        if path is None:
            bound(bind).close()
            return False
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(path))
    except OSError as error:
        # Any other error is reported when the process listens at the address.
        return error.errno == errno.EADDRINUSE
    return True
