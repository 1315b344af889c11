"""Calls about the service as a whole: its archives, events, processes and store."""

from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from typing import Any

from staging_api.client.calls import (
    PAGE_SIZE,
    Calls,
    idempotency_key,
    read,
    time_text,
    with_query,
)
from staging_api.client.model import Event
from staging_api.client.pacing import Deadline
from staging_api.vocabulary.reports import Interval


async def about(calls: Calls, /, *, timeout: float | None = None) -> Mapping[str, Any]:
    """Return the service's `name`, `version`, and `links` to its parts.

    Args:
        timeout: seconds in all; None is the client's timeout.
    """
    deadline = Deadline(calls.timeout if timeout is None else timeout)
    headers = {"Accept": "application/json"}
    return read(dict, await calls.ask("GET", "/", headers=headers, deadline=deadline, below=""))


async def me(calls: Calls, /) -> Mapping[str, Any]:
    """Return this client's identity for the service: `name`, `roles`, and what they `may` call."""
    return await calls.answer(dict, "GET", "/me")


def builds(
    calls: Calls, /, prefix: str = "", *, page_size: int = PAGE_SIZE
) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the archives that were requested, ordered by archive_url, fetching pages as needed.

    Args:
        prefix: beginning of the archive_url.
        page_size: archives for each request, 1 to 1000.
    """
    return calls.pages(dict, "/archives", {"prefix": prefix}, page_size)


def all_events(
    calls: Calls,
    /,
    *,
    after: str | None = None,
    since: datetime | None = None,
    kind: str | None = None,
    to_state: str | None = None,
    actor: str | None = None,
    page_size: int = PAGE_SIZE,
) -> AsyncIterator[Event]:
    """Yield all present events of all stagings, oldest first, each once.

    To follow the record, call again with the id of the last event, which is in its `document`.

    Args:
        after: id of the last event already known.
        since: only events at this time or later; a time with a zone.
        kind, to_state, actor: only events with this value.
        page_size: events for each request, 1 to 1000.
    """
    query = {"since": time_text(since), "kind": kind, "to_state": to_state, "actor": actor}
    return calls.pages(Event.of, "/events", {**query, "after": after}, page_size)


async def counts(calls: Calls, /, by: Interval = "hour", *, limit: int = 24) -> Mapping[str, Any]:
    """Return how many stagings and artifacts entered which state, the newest interval first.

    Args:
        by: length of an interval.
        limit: number of intervals, 1 to 1000.
    """
    return await calls.answer(dict, "GET", with_query("/counts", {"by": by, "limit": limit}))


def processes(calls: Calls, /, *, page_size: int = PAGE_SIZE) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the processes of the service that were seen within a day, by name."""
    return calls.pages(dict, "/processes", {}, page_size)


async def store(calls: Calls, /) -> Mapping[str, Any]:
    """Return how full the store is, the uses of its contents, and its idle artifacts."""
    return await calls.answer(dict, "GET", "/store")


async def preview_prune(
    calls: Calls, /, *, idle_seconds: float | None = None, keep_bytes: int = 0
) -> Mapping[str, Any]:
    """Return the idle artifacts that a prune would evict, and the token for doing it.

    Args:
        idle_seconds: only artifacts that were not read for this time; None is the limit by which
            the service evicts when it needs space.
        keep_bytes: only until the store has no more bytes than this.

    Raises:
        Forbidden: the caller is not an operator.
    """
    body = {"idle_seconds": idle_seconds, "keep_bytes": keep_bytes}
    return await calls.answer(dict, "POST", "/store/prune", body, idempotency_key())


async def prune(calls: Calls, /, token: str, reason: str) -> Mapping[str, Any]:
    """Evict the artifacts of a preview, except those that were read or pinned since.

    Args:
        token: token of the preview.
        reason: 3 to 500 characters for the audit.

    Raises:
        Conflict: the preview is older than an hour, or was done before.
        NotFound: there is no such preview.
        Forbidden: the caller is not an operator.
    """
    body = {"token": token, "reason": reason}
    return await calls.answer(dict, "POST", "/store/prune", body, idempotency_key())


def prunes(calls: Calls, /, *, page_size: int = PAGE_SIZE) -> AsyncIterator[Mapping[str, Any]]:
    """Yield the prunes that were done through the API, newest first."""
    return calls.pages(dict, "/store/prunes", {}, page_size)
