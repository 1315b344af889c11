"""CPU time that checks of documents may take; without the libraries that check."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from staging_api.documents.patterns import Budget, PatternTooSlow

#: Keywords between two looks at the clock.
_STEPS = 16


class CheckTooSlow(Exception):
    """The data cannot be checked within the budget."""


class CpuBudget:
    """CPU seconds of this thread that checks may take: all together, and each by itself."""

    def __init__(self, each_seconds: float, total_seconds: float) -> None:
        """Begin to count now."""
        self._each_seconds = each_seconds
        # CPU time of this thread: on a busy machine the same documents must not fail by the wall
        # clock.
        self._end = time.thread_time() + total_seconds
        self._deadline = self._end
        self._steps = 0

    @contextmanager
    def one_check(self) -> Iterator[None]:
        """Watch the checks of this block.

        Raises:
            CheckTooSlow: from within the block.
        """
        self._deadline = min(self._end, time.thread_time() + self._each_seconds)
        token = _current.set(self)
        try:
            yield
        except PatternTooSlow:
            raise CheckTooSlow from None
        finally:
            _current.reset(token)

    def step(self) -> None:
        """Count a keyword."""
        self._steps += 1
        if self._steps % _STEPS == 0:
            self.patterns()

    def patterns(self) -> Budget:
        """Return the time that is left, for patterns."""
        left = self._deadline - time.thread_time()
        if left <= 0:
            raise CheckTooSlow
        return Budget(left)


_current: ContextVar[CpuBudget] = ContextVar("budget")


def current_budget() -> CpuBudget:
    """Return the budget of the check that runs."""
    return _current.get()
