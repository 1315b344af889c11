"""Blocking calls over the connections of `Transport`."""

import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from staging_api.client.calls import Calls
from staging_api.client.connections import Response, SentRequest
from staging_api.client.pacing import Deadline
from staging_api.client.transport import Transport

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

T = TypeVar("T")

_CHUNK_BYTES = 1 << 16


class BlockingConnections:
    """Blocking implementation of `Connections`."""

    def __init__(self, transport: Transport) -> None:
        """Take the transport, without sending a request."""
        self.transport = transport
        self.pacing = transport.pacing

    @property
    def reached(self) -> bool:
        """Return whether the service ever answered."""
        return self.transport.reached

    @asynccontextmanager
    async def sent(self, request: SentRequest) -> AsyncIterator[Response]:
        """Send a request once; read its response within the block."""
        with self.transport.sent(request) as answer:
            yield _BlockingResponse(answer)

    async def pause(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        time.sleep(seconds)  # noqa: ASYNC251 - over connections that block

    async def on_disk(self, work: Callable[[Transport], T], _deadline: Deadline) -> T:
        """Run the work in this thread."""
        return work(self.transport)


@dataclass(frozen=True)
class BlockingCalls(Calls):
    """Calls for work that blocks anyway, because it reads and writes files."""

    connections: BlockingConnections


class _BlockingResponse:
    def __init__(self, answer: "BaseHTTPResponse") -> None:
        self._answer = answer
        self.status: int = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def read(self) -> bytes:
        return self._answer.read()

    async def chunk(self) -> bytes:
        # Return the bytes that arrived: a wait for a full chunk would delay events.
        return self._answer.read1(_CHUNK_BYTES, decode_content=False)
