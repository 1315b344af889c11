"""Wait for a staging by long polls, which answer once it has changed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

from staging_api.client.calls import API, read
from staging_api.client.model import Staging
from staging_api.client.pacing import Deadline, OnRetry
from staging_api.client.problems import error_of
from staging_api.client.transport import Reply, Transport
from staging_api.errors import Cancelled, DeadlineOver, StagingApiError
from staging_api.vocabulary.staging import REACHED, Until

_LONG_POLL_SECONDS = 30
#: Pause after an early answer: a service or proxy may ignore `Prefer: wait`.
_POLL_FLOOR_SECONDS = 0.25
_MARGIN_SECONDS = 1.0


@dataclass(frozen=True)
class Changes:
    """The successive states of one staging."""

    transport: Transport
    staging_id: str
    deadline: Deadline
    on_retry: OnRetry | None

    def __iter__(self) -> Iterator[Staging]:
        """Yield the staging as it is now, then after each change, without end.

        Raises:
            DeadlineOver: nothing changed in time.
        """
        reply = self._poll(None)
        while True:
            staging, etag = read(Staging.of, reply), reply.headers.get("ETag")
            yield staging
            reply = self._changed(staging, etag)

    def _changed(self, staging: Staging, etag: str | None) -> Reply:
        """Return the next answer with another `etag`."""
        while self.deadline.remaining_seconds():
            began = time.monotonic()
            reply = self._poll(etag)
            if reply.document is not None and (etag is None or reply.headers.get("ETag") != etag):
                return reply
            time.sleep(max(0.0, _POLL_FLOOR_SECONDS - (time.monotonic() - began)))
        seconds = f"{self.deadline.seconds:.0f} s"
        raise DeadlineOver(
            f"staging {staging.id} is {staging.state} after {seconds}, and continues",
            extra={"staging_id": staging.id, "state": staging.state},
        )

    def _poll(self, etag: str | None) -> Reply:
        # Shorter than the deadline, so that "no change" arrives before it.
        left = self.deadline.remaining_seconds() - _MARGIN_SECONDS
        wait = int(max(0.0, min(left, _LONG_POLL_SECONDS)))
        headers = {} if etag is None else {"If-None-Match": etag, "Prefer": f"wait={wait}"}
        path = f"{API}/stagings/{quote(self.staging_id, '')}"
        return self.transport.exchange(
            "GET", path, self.deadline, headers=headers, on_retry=self.on_retry
        )


def has_reached(staging: Staging, until: Until) -> bool:
    """Whether a staging has reached a state.

    Raises:
        Cancelled: it was cancelled, so it never will.
        StagingApiError: it failed; the class says why.
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
