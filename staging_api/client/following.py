"""Follow the events of a staging: each once and in order, even if the stream is cut off.

What if the service dies? The next request has the number of the last event that was read, and any
process can answer it.
"""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from urllib.parse import quote

from staging_api.client.calls import API, Calls
from staging_api.client.connections import Connections, Response, SentRequest
from staging_api.client.model import Event
from staging_api.client.pacing import Deadline
from staging_api.client.problems import problem
from staging_api.errors import AnswerUnusable, DeadlineOver, Unavailable

_OK, _NOTHING_FOLLOWS = 200, 204
#: Pause after a stream without any event.
_PAUSE_SECONDS = 0.5


async def follow(
    calls: Calls, staging_id: str, after: int, deadline: Deadline
) -> AsyncIterator[Event]:
    """Yield the events after number `after`; for errors see `StagingClient.events`."""
    path = f"{API}/stagings/{quote(staging_id, '')}/events"
    while True:
        before = after
        opening = partial(_opened, calls.connections, path, before, deadline)
        stream, answer = await calls.tried(opening, deadline)
        try:
            async with stream:
                if answer.status == _NOTHING_FOLLOWS:
                    return
                async for event in _read(answer):
                    after = event.number
                    yield event
        except (Unavailable, DeadlineOver):
            pass  # cut off; the next request continues after the last event
        if not deadline.remaining_seconds():
            raise DeadlineOver(f"staging {staging_id} continues", extra={"staging_id": staging_id})
        if after == before:
            await calls.connections.pause(min(_PAUSE_SECONDS, deadline.remaining_seconds()))


async def _opened(
    connections: Connections, path: str, after: int, deadline: Deadline
) -> tuple[AsyncExitStack, Response]:
    async with AsyncExitStack() as stack:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        request = SentRequest("GET", path, deadline, headers)
        answer = await stack.enter_async_context(connections.sent(request))
        if answer.status not in {_OK, _NOTHING_FOLLOWS}:
            raise problem(answer.status, answer.headers, await answer.read())
        return stack.pop_all(), answer


async def _read(answer: Response) -> AsyncIterator[Event]:
    """Yield the events of a stream; an incomplete one at its end is dropped."""
    rest = b""
    while chunk := await answer.chunk():
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            lines = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
            if lines.get(b"event") == b"change":
                yield _event(lines.get(b"data", b""))


def _event(data: bytes) -> Event:
    try:
        return Event.of(json.loads(data))
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise AnswerUnusable(f"an event lacks a member, or has a wrong one: {error}") from error
