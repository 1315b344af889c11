"""How long a call may take, and how long to wait before a request is sent again."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from staging_api.errors import Conflict, DeadlineOver, StagingApiError, Unavailable

T = TypeVar("T")

#: Called before each wait with the reason and the seconds until the next try.
OnRetry = Callable[[StagingApiError, float], None]


class Deadline:
    """A point in time that a call must not pass, by this machine's clock that is never set."""

    def __init__(self, seconds: float) -> None:
        """So many seconds from now."""
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining_seconds(self) -> float:
        """What is left; never below 0."""
        return max(0.0, self._at - time.monotonic())


@dataclass(frozen=True)
class Pacing:
    """The rules of trying again.

    Attributes:
        floor_seconds: the shortest wait, doubled from try to try where the service names no time.
        ceiling_seconds: where the doubling ends; a Retry-After may be longer.
        jitter: adds up to this share at random, so that those refused together do not come back
            together.
        patience_seconds: how long at a stretch the service may be out of reach.
    """

    floor_seconds: float = 0.5
    ceiling_seconds: float = 10.0
    jitter: float = 0.25
    patience_seconds: float = 60.0

    def pause_seconds(self, tries: int, retry_after_seconds: float | None) -> float:
        """The wait after so many tries, never less than the service asked for."""
        if retry_after_seconds is None:
            # Sixteen doublings are past any ceiling; many more would overflow.
            wait = min(self.floor_seconds * 2.0 ** min(tries - 1, 16), self.ceiling_seconds)
        else:
            wait = max(self.floor_seconds, retry_after_seconds)
        return wait * (1.0 + random.uniform(0, self.jitter))  # noqa: S311 - nothing secret


def retried(
    once: Callable[[], T], deadline: Deadline, pacing: Pacing, on_retry: OnRetry | None = None
) -> T:
    """Call `once` until it succeeds, or fails for a reason that does not pass.

    A wait never outlasts the deadline: the last try is made when the time is over, even if the
    service named a later one, since locks are often released before they run out.

    Raises:
        StagingApiError: what `once` raised last.
    """
    reach, tries = Deadline(pacing.patience_seconds), 0
    while True:
        tries += 1
        try:
            return once()
        except StagingApiError as error:
            if not isinstance(error, Unavailable):
                reach = Deadline(pacing.patience_seconds)
            left = min(deadline.remaining_seconds(), reach.remaining_seconds())
            if not _passes(error) or left <= 0:
                raise
            pause = min(pacing.pause_seconds(tries, error.retry_after_seconds), left)
            if on_retry is not None:
                on_retry(error, pause)
        time.sleep(pause)


def _passes(error: StagingApiError) -> bool:
    """Whether it is the service's state, and not the request or the archive, that refused."""
    return error.retryable and isinstance(error, (Conflict, Unavailable, DeadlineOver))
