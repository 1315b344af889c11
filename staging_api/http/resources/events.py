"""``/events`` and ``/stagings/{id}/events``: a list, and the events of one staging as a stream."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from datetime import datetime
from typing import Any

import falcon
from pydantic import Field

from staging_api.errors import Invalid, StagingApiError
from staging_api.http.auth import client_of
from staging_api.http.bodies import Moment, NounBody, PageBody, PageQuery, Text, Ulid
from staging_api.http.dependencies import Resource
from staging_api.http.openapi import contract
from staging_api.http.staging_bodies import StagingBody
from staging_api.staging.model import Staging, StagingEvent
from staging_api.vocabulary.staging import EventKind

#: Delay after which a reader reconnects at the end of a stream.
_RETRY_MILLISECONDS = 2000


class EventBody(NounBody):
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


class FullEventBody(EventBody):
    """One change in the list of all stagings' changes."""

    id: Ulid = Field(description="ULID whose time is the time of the event")
    staging_id: Ulid
    holder: str | None = Field(description="the process that made the change")
    lock_id: Ulid | None = Field(description="the lock grant under which the change was made")


class EventList(PageBody[FullEventBody]):
    """A page of events, oldest first."""


class EventQuery(PageQuery):
    """Filters for events."""

    after: Ulid | None = Field(
        None, description="only events after this one: the `next` of the previous page, or an id"
    )
    since: Moment | None = Field(None, description="only events of this time or later")
    kind: EventKind | None = None
    to_state: Text | None = Field(None, description="only changes to this state")
    actor: Text | None = None
    artifact_id: Text | None = None


class AllEvents(Resource):
    """The events of all stagings."""

    @contract(query=EventQuery, HTTP_200=EventList)
    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List the events of all stagings, oldest first.

        To follow the record, repeat the request with the id of the last event as `after`: each
        event is returned once, and concurrent events are returned together. With filters a page may
        have few events or none, and still a `next`.
        """
        query: EventQuery = req.context.query
        columns = {"kind", "to_state", "actor", "artifact_id"}
        page = self.deps.event_log.page(
            limit=query.limit,
            after=query.after,
            since=query.since,
            equal=query.model_dump(include=columns, exclude_none=True),
        )
        resp.media = EventList.of(page)


class EventsOfStaging(Resource):
    """The events of one staging."""

    @contract(404, HTTP_200=None, HTTP_204=None)
    def on_get(self, req: falcon.Request, resp: falcon.Response, staging_id: str) -> None:
        """Follow a staging as server-sent events, until it is final.

        `Last-Event-ID` (or `?after=`) resumes behind that event; 204 when none can follow. A stream
        also ends when too many requests wait, or after the server's longest wait: a reader of such
        streams reconnects by itself. Events are named `change`, with an id, and `progress`.
        """
        after = _last_event_id(req)
        staging = self.deps.stagings.find(staging_id)
        if staging.final and after >= staging.events_count:
            resp.status = falcon.HTTP_204
            return
        resp.content_type = "text/event-stream"
        # nginx buffers a response before it passes it on: events would arrive late, or at the end.
        resp.set_header("X-Accel-Buffering", "no")
        resp.stream = _stream(
            lambda: self.deps.events.follow(
                staging_id, after, self.wait_cap_seconds, client_of(req)
            )
        )


def _stream(
    following: Callable[[], Generator[StagingEvent | Staging | None, None, None]],
) -> Iterator[bytes]:
    # Nothing starts before the server reads the first byte: an unread stream takes no waiter slot.
    with closing(following()) as found:
        yield f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
        try:
            for each in found:
                yield _encoded(each)
        except StagingApiError:
            # The status is sent already; the reader reconnects, and then gets the error.
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
