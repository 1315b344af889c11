"""What a call needs of the connections to a service, whether it blocks or not.

Every call of this package is written once, as a coroutine. `StagingClient` runs it over connections
that block, where it never waits for anything else (`blocking`); `AsyncStagingClient` gives it to an
event loop (`async_connections`).
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
#: A process that is frozen closes nothing either.
_SILENCE_SECONDS = 120.0
#: Time-out of the last try when little time is left: enough for a refusal.
_LAST_TRY_SECONDS = 1.0

#: A body: bytes, or pieces that can be read again.
Content = bytes | Iterable[bytes]


@dataclass(frozen=True)
class SentRequest:
    """One request to the service, or to where it led.

    Attributes:
        path: below the address of the service, quoted; where it led, the whole URL.
        deadline: bounds each wait for bytes.
        content: its body; `headers` have its length unless it is bytes.
    """

    method: str
    path: str
    deadline: Deadline
    headers: Mapping[str, str]
    content: Content | None = None


class Response(Protocol):
    """An answer whose body is read within the block that it was given for."""

    status: int
    #: By names of any case.
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """Return the whole body."""

    async def chunk(self) -> bytes:
        """Return the next bytes that came; none at the end."""


class Connections(Protocol):
    """The connections of one client to one service."""

    pacing: Pacing

    @property
    def reached(self) -> bool:
        """Whether the service ever answered this client."""

    def sent(self, request: SentRequest) -> AbstractAsyncContextManager[Response]:
        """Send a request once; read its answer within the block.

        Raises:
            Unreachable: nothing listens at the address, or its name is unknown.
            Unavailable: reset, or cut off within the answer.
            DeadlineOver: no byte came in time.
            AnswerUnusable: TLS failed.
        """

    async def pause(self, seconds: float) -> None:
        """Wait so long."""

    async def on_disk(self, work: "Callable[[Transport], T]", deadline: Deadline) -> T:
        """Return the result of work that reads and writes files, and so blocks.

        Args:
            work: is given blocking connections to the same service.
            deadline: of `work`; ended if the caller does not want the result any more.
        """


def checked(base_url: str) -> str:
    """Return the address of a service without a slash at its end.

    Raises:
        Invalid: it is not an HTTP address.
    """
    try:
        parts = urlsplit(base_url)
        is_http = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a bracket that is not closed, or a port that is none
        is_http = False
    # Not left to the first request, which would be sent again as if the service were away.
    if not is_http:
        raise Invalid.field("base_url", f"must be http://... or https://..., not {base_url!r}")
    return base_url.rstrip("/")


def silence_seconds(deadline: Deadline) -> float:
    """Return how long to wait for the next bytes of an answer."""
    return min(max(deadline.remaining_seconds(), _LAST_TRY_SECONDS), _SILENCE_SECONDS)


def noted(request: SentRequest, status: int, headers: Mapping[str, str], began: float) -> None:
    """Log an answer; without its query, where an archive's URL may have a signature."""
    log.debug(
        "%s %s: %s after %.3f s, request %s",
        request.method,
        request.path.partition("?")[0],
        status,
        time.monotonic() - began,
        headers.get("X-Request-Id", "-"),
    )
