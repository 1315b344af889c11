"""Write an artifact's progress to its row, at most twice a second."""

import time
from collections.abc import Callable

#: Between two writes of progress.
INTERVAL_SECONDS = 0.5


class ThrottledProgress:
    """Called by the engine after every chunk; passes on one call in `INTERVAL_SECONDS`."""

    def __init__(self, write: Callable[[int, int | None, float], None]) -> None:
        """`write` gets bytes done, bytes in all if known, and bytes per second since the start."""
        self._write = write
        self.done = 0
        self._started = self._written_at = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        """Note the bytes done; an exception of `write` ends the fetch."""
        self.done = done
        now = time.monotonic()
        if now - self._written_at >= INTERVAL_SECONDS:
            self._written_at = now
            self._write(done, total, done / max(now - self._started, 0.001))
