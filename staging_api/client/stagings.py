"""Calls about stagings."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from staging_api.client.calls import PAGE_SIZE, Calls, idempotency_key, read, time_text
from staging_api.client.following import follow
from staging_api.client.model import Event, Staging
from staging_api.client.pacing import Deadline, OnRetry
from staging_api.client.waiting import changes, has_reached
from staging_api.vocabulary.staging import Until


async def stage(
    calls: Calls,
    /,
    archive_url: str,
    artifacts: Sequence[str] | None = None,
    *,
    wait: bool = True,
    upload_wait_seconds: float | None = None,
    timeout: float = 3600.0,
    on_retry: OnRetry | None = None,
) -> Staging:
    """Stage artifacts of an archive; return once the foreground artifacts are staged.

    If all foreground artifacts are staged already, the result is the earlier staging, whose
    `reference_id` is not this client's.

    Args:
        archive_url: the build, such as ``gs://builds/board/R17-1``.
        artifacts: names or groups of the catalogue; None is the catalogue's ``default``.
        wait: False returns as soon as the request is recorded; a worker does the work.
        upload_wait_seconds: how long the service waits for an archive whose upload may not have
            begun; None waits only for an upload that has begun.
        timeout: seconds in all, including waits for a lock that another holds.
        on_retry: called before each wait with the reason and the seconds until the next attempt.

    Raises:
        LockHeld: another request held the archive all the time; `lock` describes it.
        Invalid: the archive_url, or the name of an artifact, is not valid.
        SourceNotAllowed: the archive is outside the service's allow-list.
        NotFound: the source lacks the archive or an artifact.
        UploadWaitOver: the archive was not uploaded in time.
        DeadlineOver: not done in time; the service continues.
        Unreachable: nothing listens at the service's address.
        Unavailable: the service was out of reach for too long.
        StagingApiError: an artifact failed; the class says why.
    """
    body: dict[str, Any] = {"archive_url": archive_url}
    if artifacts is not None:
        body["artifacts"] = list(artifacts)
    if upload_wait_seconds is not None:
        body["upload_wait_seconds"] = upload_wait_seconds
    reply = await calls.ask(
        "POST",
        "/stagings",
        body,
        idempotency_key() if wait else {**idempotency_key(), "Prefer": "respond-async"},
        deadline=Deadline(timeout),
        on_retry=on_retry,
        queues=wait,
    )
    return read(Staging.of, reply)


async def staging(calls: Calls, /, staging_id: str) -> Staging:
    """Return a staging as it is now.

    Raises:
        NotFound: there is no such staging.
    """
    return await calls.answer(Staging.of, "GET", f"/stagings/{quote(staging_id, '')}")


async def wait(
    calls: Calls,
    /,
    staging_id: str,
    until: Until = "staged",
    *,
    timeout: float = 3600.0,
    on_change: Callable[[Staging], None] | None = None,
    on_retry: OnRetry | None = None,
) -> Staging:
    """Wait until a staging has reached a state.

    Args:
        staging_id: ULID of the staging.
        until: ``staged``: all artifacts; ``foreground_staged``: those that its caller waited for.
        timeout: seconds in all.
        on_change: called with the staging, first at once and then after each change.
        on_retry: called before each wait for a service that is out of reach.

    Raises:
        NotFound: there is no such staging, or no such archive.
        Cancelled: the staging was cancelled.
        DeadlineOver: the staging has not reached the state yet, and continues.
        StagingApiError: the staging failed; the class says why, `extra["staging_id"]` which.
    """
    async with aclosing(changes(calls, staging_id, Deadline(timeout), on_retry)) as found:
        async for each in found:
            if on_change is not None:
                on_change(each)
            if has_reached(each, until):
                return each
    raise AssertionError("a staging changes until it is waited for no more")


def events(
    calls: Calls, /, staging_id: str, *, after: int = 0, timeout: float = 3600.0
) -> AsyncIterator[Event]:
    """Yield each event of a staging once and in order, until it is final.

    Args:
        staging_id: ULID of the staging.
        after: number of the last event already known.
        timeout: seconds in all.

    Raises:
        NotFound: there is no such staging.
        DeadlineOver: the staging continues.
        Unavailable: the service cannot be reached.
    """
    return follow(calls, staging_id, after, Deadline(timeout))


def stagings(
    calls: Calls,
    /,
    *,
    archive_url: str | None = None,
    prefix: str | None = None,
    state: str | None = None,
    error_code: str | None = None,
    caller: str | None = None,
    reference_id: UUID | str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    page_size: int = PAGE_SIZE,
) -> AsyncIterator[Staging]:
    """Yield all stagings with these properties, newest first, fetching pages as needed.

    Args:
        archive_url: URL of the archive, in any spelling.
        prefix: beginning of the archive_url.
        state: state of the staging, such as ``running``.
        error_code: code of its failure.
        caller: caller who requested it.
        reference_id: the context marker of the request.
        since: requested at this time or later; a time with a zone.
        until: requested before this time; a time with a zone.
        page_size: stagings for each request, 1 to 1000.
    """
    query = {
        "archive_url": archive_url,
        "prefix": prefix,
        "state": state,
        "error_code": error_code,
        "caller": caller,
        "reference_id": reference_id,
        "since": time_text(since),
        "until": time_text(until),
    }
    return calls.pages(Staging.of, "/stagings", query, page_size)


async def cancel(calls: Calls, /, staging_id: str) -> Staging:
    """Cancel a staging; staged artifacts stay, the rest stops within about a second.

    Raises:
        NotFound: there is no such staging.
    """
    return await calls.answer(Staging.of, "DELETE", f"/stagings/{quote(staging_id, '')}")
