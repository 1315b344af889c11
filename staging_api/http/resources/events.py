"""``/stagings/{id}/events``: what happens to a staging, as server-sent events."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import falcon

from staging_api.errors import Invalid, StagingApiError
from staging_api.http.auth import client_of
from staging_api.http.bodies import Body, StagingBody, Ulid
from staging_api.http.openapi import answers, spec
from staging_api.staging.event_stream import EventStream
from staging_api.staging.model import Staging, StagingEvent
from staging_api.staging.service import StagingService

#: How soon a reader comes back after the end of a stream.
_RETRY_MILLISECONDS = 2000


class EventBody(Body):
    """One change of a staging, or of an artifact of it: who, what, from, to, why."""

    number: int
    at: datetime
    kind: str
    artifact_id: Ulid | None
    name: str | None
    from_state: str | None
    to_state: str | None
    actor: str
    code: str | None
    message: str | None
    detail: dict[str, Any]

    @classmethod
    def of(cls, event: StagingEvent) -> "EventBody":
        """The answer's form of a row."""
        return cls(**{name: getattr(event, name) for name in cls.model_fields})


class EventsOfStaging:
    """The events of one staging."""

    def __init__(
        self, stagings: StagingService, events: EventStream, wait_cap_seconds: float
    ) -> None:
        """Let a stream live for `wait_cap_seconds` at most."""
        self._stagings = stagings
        self._events = events
        self._wait_cap_seconds = wait_cap_seconds

    @spec.validate(resp=answers(404, HTTP_200=None, HTTP_204=None), tags=["stagings"])
    def on_get(self, req: falcon.Request, resp: falcon.Response, staging_id: str) -> None:
        """Follow a staging as server-sent events, until it is final.

        `Last-Event-ID` (or `?after=`) resumes behind that event; 204 when none can follow. A
        stream also ends when too many requests wait, or after the server's longest wait: a reader
        of such streams comes back by itself. Events are named `change`, with an id, and
        `progress`.
        """
        after = _last_event_id(req)
        staging = self._stagings.find(staging_id)
        if staging.final and after >= staging.events_count:
            resp.status = falcon.HTTP_204
            return
        resp.content_type = "text/event-stream"
        resp.set_header("Cache-Control", "no-store")
        resp.set_header("X-Accel-Buffering", "no")
        resp.stream = _stream(
            lambda: self._events.follow(staging_id, after, self._wait_cap_seconds, client_of(req))
        )


def _stream(
    following: Callable[[], Generator[StagingEvent | Staging | None, None, None]],
) -> Iterator[bytes]:
    # Nothing begins before the server reads the first byte: an unread stream takes no slot.
    with closing(following()) as found:
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        try:
            for each in found:
                yield _encoded(each)
        except StagingApiError:
            # The status is sent already; the reader comes back, and then gets the error.
            return


def _encoded(each: StagingEvent | Staging | None) -> bytes:
    if each is None:
        return b": still here\n\n"
    if isinstance(each, Staging):
        shown = StagingBody.of(each).model_dump_json(include={"state", "progress", "artifacts"})
        return f"event: progress\ndata: {shown}\n\n".encode()
    shown = EventBody.of(each).model_dump_json()
    return f"id: {each.number}\nevent: change\ndata: {shown}\n\n".encode()


def _last_event_id(req: falcon.Request) -> int:
    given = req.get_header("Last-Event-ID") or req.get_param("after") or "0"
    if not (given.isascii() and given.isdigit() and len(given) <= 18):  # noqa: PLR2004 - a bigint
        raise Invalid.field("Last-Event-ID", "must be the id of an event, a whole number")
    return int(given)
