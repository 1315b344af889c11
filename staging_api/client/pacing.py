"""Limit the time of a call, and choose the wait before a retry."""

import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from staging_api.client.coroutines import complete
from staging_api.errors import (
    Cancelled,
    Conflict,
    DeadlineOver,
    StagingApiError,
    Unavailable,
    Unreachable,
)

log = logging.getLogger("staging_api.client")

T = TypeVar("T")

#: Called before each wait with the reason and the seconds until the next attempt.
OnRetry = Callable[[StagingApiError, float], None]


class Deadline:
    """The deadline of a call, by the monotonic clock."""

    def __init__(self, seconds: float) -> None:
        """Set the deadline to `seconds` from now."""
        self.seconds = seconds
        self._at = time.monotonic() + seconds
        self._ended = False

    def end(self) -> None:
        """Set the deadline to now: the caller no longer wants the result."""
        self._at, self._ended = time.monotonic(), True

    def check(self) -> None:
        """Return if the caller still wants the result.

        Raises:
            Cancelled: `end` was called.
        """
        if self._ended:
            raise Cancelled("its caller does not wait any more")

    def remaining_seconds(self) -> float:
        """Return the remaining seconds, never below 0."""
        return max(0.0, self._at - time.monotonic())


@dataclass(frozen=True)
class Pacing:
    """Parameters of retries.

    Attributes:
        floor_seconds: the first wait without a Retry-After, doubled with each retry.
        ceiling_seconds: maximum of the doubled wait; a Retry-After may be longer.
        jitter: largest random share that is added to a wait, so that clients refused together do
            not retry together.
        patience_seconds: how long the service may be continuously out of reach.
        refused_seconds: how long connections may be refused at an address that never answered this
            client: it is wrong, or no service runs there, more often than one is about to start.
    """

    floor_seconds: float = 0.5
    ceiling_seconds: float = 10.0
    jitter: float = 0.25
    patience_seconds: float = 60.0
    refused_seconds: float = 3.0

    def pause_seconds(self, tries: int, retry_after_seconds: float | None) -> float:
        """Return the wait after this number of attempts, never less than the Retry-After."""
        if retry_after_seconds is None:
            # Sixteen doublings exceed any ceiling; many more would overflow.
            wait = min(self.floor_seconds * 2.0 ** min(tries - 1, 16), self.ceiling_seconds)
        else:
            wait = max(self.floor_seconds, retry_after_seconds)
        return wait * (1.0 + random.uniform(0, self.jitter))  # noqa: S311 - nothing secret


async def retrying(
    attempt: Callable[[], Awaitable[T]],
    deadline: Deadline,
    pacing: Pacing,
    pause: Callable[[float], Awaitable[None]],
    *,
    on_retry: OnRetry | None = None,
    reached: Callable[[], bool] = lambda: True,
) -> T:
    """Await `attempt` until it succeeds, or fails with an error that a retry cannot change.

    A wait never outlasts the deadline: the last attempt is made at the deadline, even before a
    later Retry-After, since locks are often released before they expire. This is a loop of our own
    because retry libraries give up when the next wait exceeds the deadline, and the base install
    stays small.

    Args:
        attempt: one attempt at the call.
        deadline: deadline of all attempts together.
        pacing: parameters of retries.
        pause: sleeps for some seconds.
        on_retry: called before each wait.
        reached: returns whether the service ever answered.

    Raises:
        StagingApiError: the last error of `attempt`.
    """
    away, tries = time.monotonic(), 0
    while True:
        tries += 1
        try:
            return await attempt()
        except StagingApiError as error:
            if not isinstance(error, Unavailable):
                away = time.monotonic()
            refused = isinstance(error, Unreachable) and not reached()
            patience = pacing.refused_seconds if refused else pacing.patience_seconds
            patience = min(patience, pacing.patience_seconds)
            left = min(deadline.remaining_seconds(), away + patience - time.monotonic())
            if not _passes(error) or left <= 0:
                raise
            seconds = min(pacing.pause_seconds(tries, error.retry_after_seconds), left)
            log.info("%s: trying again in %.1f s: %s", error.code, seconds, error.detail)
            if on_retry is not None:
                on_retry(error, seconds)
        await pause(seconds)


def retried(once: Callable[[], T], deadline: Deadline, pacing: Pacing) -> T:
    """Retry `once`, a blocking function, as `retrying` retries an attempt."""

    async def attempt() -> T:
        return once()

    async def pause(seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - over connections that block

    return complete(retrying(attempt, deadline, pacing, pause))


def _passes(error: StagingApiError) -> bool:
    """Return whether the service's state, not the request or the archive, caused the error."""
    return error.retryable and isinstance(error, (Conflict, Unavailable, DeadlineOver))
