"""Limit the time of a call, and choose the wait before a retry."""

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
    """The end of the time of a call, by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        """Set the end to that many seconds from now."""
        self.seconds = seconds
        self._at = time.monotonic() + seconds

    def remaining_seconds(self) -> float:
        """Return the remaining seconds, never below 0."""
        return max(0.0, self._at - time.monotonic())


@dataclass(frozen=True)
class Pacing:
    """Parameters of retries.

    Attributes:
        floor_seconds: the shortest wait, doubled from try to try without a Retry-After.
        ceiling_seconds: where the doubling ends; a Retry-After may be longer.
        jitter: adds up to this share at random, so that clients refused together do not come back
            together.
        patience_seconds: how long the service may be out of reach without a break.
    """

    floor_seconds: float = 0.5
    ceiling_seconds: float = 10.0
    jitter: float = 0.25
    patience_seconds: float = 60.0

    def pause_seconds(self, tries: int, retry_after_seconds: float | None) -> float:
        """Return the wait after so many tries, never less than the Retry-After."""
        if retry_after_seconds is None:
            # Sixteen doublings exceed any ceiling; many more would overflow.
            wait = min(self.floor_seconds * 2.0 ** min(tries - 1, 16), self.ceiling_seconds)
        else:
            wait = max(self.floor_seconds, retry_after_seconds)
        return wait * (1.0 + random.uniform(0, self.jitter))  # noqa: S311 - nothing secret


def retried(
    once: Callable[[], T], deadline: Deadline, pacing: Pacing, on_retry: OnRetry | None = None
) -> T:
    """Call `once` until it succeeds, or fails for a reason that does not pass.

    A wait never outlasts the deadline: the last try is made when the time is over, even before a
    later Retry-After, since locks are often released before they expire. Our own loop: retry
    libraries give up when the next wait exceeds the deadline, and the base install stays small.

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
    """Whether the service's state, not the request or the archive, caused the error."""
    return error.retryable and isinstance(error, (Conflict, Unavailable, DeadlineOver))
