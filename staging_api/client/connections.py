"""Interface between a call and its connections to a service, blocking or asynchronous.

Every call of this package is written once, as a coroutine. `StagingClient` runs the coroutine over
blocking connections, where it never has to wait for an event loop (`blocking`);
`AsyncStagingClient` runs it in an event loop (`async_connections`).
"""

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar
from urllib.parse import urlsplit

from staging_api.client.pacing import Deadline, Pacing, log
from staging_api.errors import Invalid

if TYPE_CHECKING:
    from staging_api.client.transport import Transport

T = TypeVar("T")

#: A host that is off refuses nothing: the system itself would try for two minutes.
CONNECT_SECONDS = 10.0
#: A frozen process closes no connection either.
_SILENCE_SECONDS = 120.0
#: Timeout of the last attempt when little time is left: enough for a refusal.
_LAST_TRY_SECONDS = 1.0

#: A body: bytes, or chunks that can be read again.
Content = bytes | Iterable[bytes]


@dataclass(frozen=True)
class SentRequest:
    """One request to the service, or to the link that it redirected to.

    Attributes:
        path: path below the address of the service, quoted; for a link, the whole URL.
        deadline: limits each wait for bytes.
        content: the body; `headers` have its length unless it is bytes.
    """

    method: str
    path: str
    deadline: Deadline
    headers: Mapping[str, str]
    content: Content | None = None


class Response(Protocol):
    """A response whose body must be read within the block that yielded it."""

    status: int
    #: Headers by name, in any case.
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """Return the whole body."""

    async def chunk(self) -> bytes:
        """Return the next bytes that arrived; empty at the end."""


class Connections(Protocol):
    """Connections of one client to one service."""

    pacing: Pacing

    @property
    def reached(self) -> bool:
        """Return whether the service ever answered this client."""

    def sent(self, request: SentRequest) -> AbstractAsyncContextManager[Response]:
        """Send a request once; read its response within the block.

        Raises:
            Unreachable: nothing listens at the address, or its name is unknown.
            Unavailable: the connection was reset, or cut off within the response.
            DeadlineOver: no byte arrived in time.
            AnswerUnusable: TLS failed.
        """

    async def pause(self, seconds: float) -> None:
        """Wait for `seconds`."""

    async def on_disk(self, work: "Callable[[Transport], T]", deadline: Deadline) -> T:
        """Return the result of blocking work, which reads and writes files.

        Args:
            work: called with blocking connections to the same service.
            deadline: deadline of `work`; ended if the caller no longer wants the result.
        """


def checked(base_url: str) -> str:
    """Return the address of a service without a slash at its end.

    Raises:
        Invalid: `base_url` is not an HTTP address.
    """
    try:
        parts = urlsplit(base_url)
        is_http = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # an unclosed bracket, or an invalid port
        is_http = False
    # Checked here: the first request would be repeated as if the service were unavailable.
    if not is_http:
        raise Invalid.field("base_url", f"must be http://... or https://..., not {base_url!r}")
    return base_url.rstrip("/")


def silence_seconds(deadline: Deadline) -> float:
    """Return how long to wait for the next bytes of a response."""
    return min(max(deadline.remaining_seconds(), _LAST_TRY_SECONDS), _SILENCE_SECONDS)


def noted(request: SentRequest, status: int, headers: Mapping[str, str], began: float) -> None:
    """Log a response without its query, where an archive's URL may have a signature."""
    log.debug(
        "%s %s: %s after %.3f s, request %s",
        request.method,
        request.path.partition("?")[0],
        status,
        time.monotonic() - began,
        headers.get("X-Request-Id", "-"),
    )
