"""How far an artifact has come, told to its row at most twice a second."""

import time
from collections.abc import Callable

#: Between two writes of progress.
INTERVAL_SECONDS = 0.5


class Progress:
    """Takes the engine's every step, and passes on one in a while; `done` is the last it heard."""

    def __init__(self, tell: Callable[[int, int | None, float], None]) -> None:
        """`tell` gets bytes done, bytes in all if known, and bytes per second since the start."""
        self._tell = tell
        self.done = 0
        self._started = self._told = time.monotonic()

    def __call__(self, done: int, total: int | None) -> None:
        """So many bytes are done; whatever `tell` raises stops the work."""
        self.done = done
        now = time.monotonic()
        if now - self._told >= INTERVAL_SECONDS:
            self._told = now
            self._tell(done, total, done / max(now - self._started, 0.001))
