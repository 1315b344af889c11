"""Try again what can succeed the second time, and only that; go on where a body was cut.

A source's failure is either `Interrupted` (no connection, a time-out, 429, 5xx, a cut body), which
is tried again after a pause that doubles and is shortened by chance, so that many workers do not
come back at once; or any other `SourceFailed`, which would be the same again.
"""

import random
import time
from collections.abc import Callable, Generator
from contextlib import closing
from typing import TypeVar

from staging_api.errors import SourceFailed
from staging_api.sources.model import SourceOptions

T = TypeVar("T")

#: So much progress makes a cut body's next failure count as the first again.
_PROGRESS_BYTES = 8 << 20


class Interrupted(SourceFailed):
    """The source failed in a way that may be over soon."""


def retried(call: Callable[[], T], options: SourceOptions) -> T:
    """Call until it succeeds, or fails for good, or the attempts are used up."""
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
    resumable: bool,
) -> Generator[bytes, None, None]:
    """Stream what `read` gives from a position on, and go on from there when it is cut.

    Args:
        read: streams the bytes from the position it is given.
        start: the first position.
        options: for attempts and pauses.
        resumable: whether a second `read` is sure to meet the same version. If not, only what
            fails before its first byte is tried again.
    """
    position, failures, failed_at = start, 0, start
    while True:
        try:
            with closing(read(position)) as chunks:
                for chunk in chunks:
                    position += len(chunk)
                    yield chunk
        except Interrupted as error:
            if not resumable and position > start:
                raise
            failures = 1 if position - failed_at >= _PROGRESS_BYTES else failures + 1
            failed_at = position
            _pause(failures, error, options)
        else:
            return


class Pace:
    """Watches that a body does not trickle: a source can hold a worker for days that way."""

    def __init__(self, options: SourceOptions, clock: Callable[[], float] = time.monotonic) -> None:
        self._options = options
        self._clock = clock
        self._since = clock()
        self._count = 0

    def got(self, count: int) -> None:
        """Note bytes that came.

        Raises:
            Interrupted: over the last window they were too few.
        """
        self._count += count
        passed = self._clock() - self._since
        if passed >= self._options.slowest_window_seconds:
            if self._count < passed * self._options.slowest_bytes_per_second:
                raise Interrupted("the source sends too slowly")
            self._since, self._count = self._clock(), 0


def _pause(failures: int, error: Interrupted, options: SourceOptions) -> None:
    """Wait before the next attempt, or give up by raising the error again."""
    if failures >= options.attempts:
        raise error
    longest = min(options.backoff_cap_seconds, options.backoff_seconds * 2.0 ** (failures - 1))
    wanted = error.retry_after_seconds or 0.0
    # Jitter spreads workers that failed together; it is no secret.
    pause = max(longest * random.uniform(0.5, 1.0), wanted)  # noqa: S311
    options.sleep(min(pause, options.backoff_cap_seconds))
