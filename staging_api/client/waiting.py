"""Wait for a staging by long polls, which the service answers once the staging has changed."""

import time
from collections.abc import AsyncGenerator
from urllib.parse import quote

from staging_api.client.calls import Calls, Reply, read
from staging_api.client.model import Staging
from staging_api.client.pacing import Deadline, OnRetry
from staging_api.client.problems import error_of
from staging_api.errors import Cancelled, DeadlineOver, StagingApiError
from staging_api.vocabulary.staging import REACHED, Until

_LONG_POLL_SECONDS = 30
#: Pause after an early answer: a service or proxy may ignore `Prefer: wait`.
_POLL_FLOOR_SECONDS = 0.25
_MARGIN_SECONDS = 1.0


async def changes(
    calls: Calls, staging_id: str, deadline: Deadline, on_retry: OnRetry | None
) -> AsyncGenerator[Staging]:
    """Yield the staging as it is now, then after each change, without end.

    Raises:
        DeadlineOver: nothing changed in time.
    """
    etag: str | None = None
    while True:
        began = time.monotonic()
        reply = await _polled(calls, staging_id, etag, deadline, on_retry)
        # The first response must be a staging; later ones may be 304, which means "unchanged".
        changed = etag is None or (reply.document is not None and reply.headers.get("ETag") != etag)
        if changed:
            staging, etag = read(Staging.of, reply), reply.headers.get("ETag")
            yield staging
        if not deadline.remaining_seconds():
            seconds = f"{deadline.seconds:.0f} s"
            raise DeadlineOver(
                f"staging {staging.id} is {staging.state} after {seconds}, and continues",
                extra={"staging_id": staging.id, "state": staging.state},
            )
        if not changed or etag is None:
            early = _POLL_FLOOR_SECONDS - (time.monotonic() - began)
            await calls.connections.pause(max(0.0, early))


def has_reached(staging: Staging, until: Until) -> bool:
    """Return whether a staging has reached a state.

    Raises:
        Cancelled: the staging was cancelled, so it never will.
        StagingApiError: the staging failed; the class says why.
    """
    if staging.state in REACHED[until]:
        return True
    if not staging.final:
        return False
    where = {"staging_id": staging.id}
    if staging.state == "cancelled":
        raise Cancelled(f"staging {staging.id} was cancelled", extra=where)
    if staging.error is None:
        raise StagingApiError(f"staging {staging.id} failed and does not say why", extra=where)
    raise error_of(staging.error.code, {**staging.error.document, **where})


async def _polled(
    calls: Calls, staging_id: str, etag: str | None, deadline: Deadline, on_retry: OnRetry | None
) -> Reply:
    """Return the staging; with an ETag, once the staging has changed or some seconds are over."""
    # Shorter than the deadline, so that "no change" arrives before it.
    left = deadline.remaining_seconds() - _MARGIN_SECONDS
    wait = int(max(0.0, min(left, _LONG_POLL_SECONDS)))
    headers = {} if etag is None else {"If-None-Match": etag, "Prefer": f"wait={wait}"}
    path = f"/stagings/{quote(staging_id, '')}"
    return await calls.ask("GET", path, headers=headers, deadline=deadline, on_retry=on_retry)
