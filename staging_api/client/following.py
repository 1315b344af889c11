"""Follow the events of a staging: each once and in order, however often the stream is cut.

What if the service dies? The next request has the number of the last event read, whichever process
answers it.
"""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote

from staging_api.client.model import Event
from staging_api.client.pacing import Deadline, retried
from staging_api.client.problems import problem
from staging_api.client.transport import Transport
from staging_api.errors import AnswerUnusable, DeadlineOver, Unavailable

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

_OK, _NOTHING_FOLLOWS = 200, 204
_CHUNK_BYTES = 1 << 16
#: Pause after a stream without any event.
_PAUSE_SECONDS = 0.5


def follow(
    transport: Transport, path: str, staging_id: str, after: int, deadline: Deadline
) -> Iterator[Event]:
    """Yield the events after number `after`; errors are those of `StagingClient.events`."""
    path = f"{path}/{quote(staging_id, '')}/events"
    while True:
        before = after
        opening = partial(_opened, transport, path, before, deadline)
        stream, answer = retried(opening, deadline, transport.pacing)
        try:
            with stream:
                if answer.status == _NOTHING_FOLLOWS:
                    return
                for event in _read(answer):
                    after = event.number
                    yield event
        except (Unavailable, DeadlineOver):
            pass  # cut off; the next request continues after the last event
        if not deadline.remaining_seconds():
            raise DeadlineOver(f"staging {staging_id} continues", extra={"staging_id": staging_id})
        if after == before:
            time.sleep(min(_PAUSE_SECONDS, deadline.remaining_seconds()))


def _opened(
    transport: Transport, path: str, after: int, deadline: Deadline
) -> tuple[ExitStack, "BaseHTTPResponse"]:
    with ExitStack() as stack:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        answer = stack.enter_context(transport.sent("GET", path, deadline, headers))
        if answer.status not in {_OK, _NOTHING_FOLLOWS}:
            raise problem(answer.status, answer.headers, answer.read())
        return stack.pop_all(), answer


def _read(answer: "BaseHTTPResponse") -> Iterator[Event]:
    """Yield the events of a stream; one that was cut off is dropped."""
    rest = b""
    while chunk := answer.read1(_CHUNK_BYTES, decode_content=False):
        *blocks, rest = (rest + chunk).split(b"\n\n")
        for block in blocks:
            lines = dict(line.partition(b": ")[::2] for line in block.split(b"\n"))
            if lines.get(b"event") == b"change":
                yield _event(lines.get(b"data", b""))


def _event(data: bytes) -> Event:
    try:
        return Event.of(json.loads(data))
    except (KeyError, TypeError, ValueError) as error:
        raise AnswerUnusable(f"an event lacks a member, or has a wrong one: {error}") from error
