"""The growth of a counter within a minute."""

import time
from collections import deque
from collections.abc import Callable

_SECONDS = 60.0


class LastMinute:
    """Compares a counter with its value a minute ago, as sampled at earlier calls."""

    def __init__(
        self, total: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Count from now on.

        Args:
            total: returns the counter, which never falls.
            clock: returns the time in seconds.
        """
        self._total, self._clock = total, clock
        self._looks = deque([(clock(), total())])

    def __call__(self) -> int:
        """Return the growth since the newest sample that is a minute old, or the first one."""
        now, total = self._clock(), self._total()
        self._looks.append((now, total))
        # Checks the second sample: the first must be the newest that is at least a minute old. The
        # loop ends at the latest with the sample just added.
        while now - self._looks[1][0] >= _SECONDS:
            self._looks.popleft()
        return int(total - self._looks[0][1])
