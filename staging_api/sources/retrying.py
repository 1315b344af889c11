"""Retries of transient failures of sources, and resumption of truncated bodies.

A source fails either with `Interrupted` (no connection, a timeout, 429, 5xx, a truncated body),
which is retried after a pause that doubles, with jitter, so that many workers do not retry at the
same time; or with any other `SourceFailed`, which is permanent.

A retry library would replace only `retried`, 8 lines: `resumed` tracks a position, resets the count
after progress and shares the pause, which also obeys the source's Retry-After.
"""

import random
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

from staging_api.errors import SourceFailed
from staging_api.sources.model import SourceOptions
from staging_api.sources.parallel_requests import TooManyAtOnce

T = TypeVar("T")

#: After this much progress the next failure counts as the first again.
_PROGRESS_BYTES = 8 << 20


class Interrupted(SourceFailed):
    """A transient failure of the source."""


def retried(call: Callable[[], T], options: SourceOptions) -> T:
    """Call until success, a permanent failure, or the last attempt."""
    failures = 0
    while True:
        try:
            return call()
        except Interrupted as error:
            failures += 1
            _pause(failures, error, options)


def resumed(
    read: Callable[[int], Generator[bytes, None, None]],
    start: int,
    options: SourceOptions,
    *,
    resumable: Callable[[], bool],
) -> Generator[bytes, None, None]:
    """Stream the bytes that `read` yields from a position on; after a cut, continue from there.

    Args:
        read: streams the bytes from a position.
        start: the first position.
        options: for attempts and pauses.
        resumable: returns whether another `read` is certain to get the same version. If not, only a
            failure before the first byte is retried.
    """
    position, failures, failed_at = start, 0, start
    while True:
        try:
            with closing(read(position)) as chunks:
                for chunk in chunks:
                    position += len(chunk)
                    yield chunk
        except Interrupted as error:
            if position > start and not resumable():
                raise
            failures = 1 if position - failed_at >= _PROGRESS_BYTES else failures + 1
            failed_at = position
            _pause(failures, error, options)
        except TooManyAtOnce as error:
            # A failure caused by our own parallelism is not one of the source.
            if position > start and not resumable():
                raise error.cause from None
            options.sleep(_jittered(options.backoff_seconds, error, options))
        else:
            return


class SlowestRate:
    """Minimum rate of a body: otherwise a slow source could occupy a worker for days."""

    def __init__(self, options: SourceOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._since = clock()
        self._count = 0

    def add(self, count: int) -> None:
        """Count received bytes.

        Raises:
            Interrupted: the rate in the last window was too low.
        """
        self._count += count
        passed = self._clock() - self._since
        if passed >= self._options.slowest_window_seconds:
            if self._count < passed * self._options.slowest_bytes_per_second:
                raise Interrupted("the source sends too slowly")
            self._since, self._count = self._clock(), 0


def _pause(failures: int, error: Interrupted, options: SourceOptions) -> None:
    """Wait before the next attempt; raise the error if no attempt is left."""
    if failures >= options.attempts:
        raise error
    longest = min(options.backoff_cap_seconds, options.backoff_seconds * 2.0 ** (failures - 1))
    options.sleep(_jittered(longest, error, options))


def _jittered(longest: float, error: SourceFailed, options: SourceOptions) -> float:
    """Return a pause: slightly less than `longest`, or the source's Retry-After, up to the cap."""
    wanted = error.retry_after_seconds or 0.0
    # Jitter separates workers that failed at the same time; it needs no secure random numbers.
    pause = max(longest * random.uniform(0.5, 1.0), wanted)  # noqa: S311
    return min(pause, options.backoff_cap_seconds)
