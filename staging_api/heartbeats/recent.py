"""How much a number that only grows has grown within a minute."""

import time
from collections import deque
from collections.abc import Callable

_SECONDS = 60.0


class LastMinute:
    """Compares the number with what it was a minute ago, by the looks at it so far."""

    def __init__(
        self, total: Callable[[], float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Count from now on.

        Args:
            total: the number; never less than before.
            clock: in seconds.
        """
        self._total, self._clock = total, clock
        self._looks = deque([(clock(), total())])

    def __call__(self) -> int:
        """Return the growth since the last look that is a minute old, or since the first one."""
        now, total = self._clock(), self._total()
        self._looks.append((now, total))
        # The second one decides: the first is to be the newest look that is a minute old. The look
        # that was just added ends the loop.
        while now - self._looks[1][0] >= _SECONDS:
            self._looks.popleft()
        return int(total - self._looks[0][1])
