"""Client connections that record the requests of a call, and return an empty page."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from staging_api.client.calls import Calls
from staging_api.client.connections import SentRequest
from staging_api.client.coroutines import complete, each
from staging_api.client.pacing import Pacing
from staging_api.errors import AnswerUnusable


@dataclass
class Answer:
    """Response with an empty page, which matches no typed result."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)

    async def read(self) -> bytes:
        return b'{"items": [], "next": null, "changes": []}'

    async def chunk(self) -> bytes:
        raise NotImplementedError


class Recorder:
    """Connections that record requests."""

    pacing = Pacing()
    reached = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.sent_headers: list[Mapping[str, str]] = []

    @asynccontextmanager
    async def sent(self, request: SentRequest) -> AsyncIterator[Answer]:
        said = [request.method, request.path.removeprefix("/api/v1.0")]
        if isinstance(request.content, bytes) and request.content:
            said.append(request.content.decode())
        self.asked.append(" ".join(said))
        self.sent_headers.append(request.headers)
        yield Answer()

    async def pause(self, seconds: float) -> None:
        raise NotImplementedError


def asked(call: Callable[[Calls], Any]) -> tuple[list[str], list[Mapping[str, str]]]:
    """Return the requests that a call sends, with their headers."""
    recorder: Any = Recorder()
    given = call(Calls(recorder, 60))
    with suppress(AnswerUnusable):
        if isinstance(given, Awaitable):
            complete(given)
        else:
            list(each(given))
    return recorder.asked, recorder.sent_headers
