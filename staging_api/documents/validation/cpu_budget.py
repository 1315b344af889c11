"""CPU time limits for checks of documents; imports none of the JSON Schema libraries."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from staging_api.documents.patterns import Budget, PatternTooSlow

#: Number of keywords between two readings of the clock.
_STEPS = 16


class CheckTooSlow(Exception):
    """The check does not fit into the CPU budget."""


class CpuBudget:
    """CPU time limits of this thread: for all checks together, and for each check."""

    def __init__(self, each_seconds: float, total_seconds: float) -> None:
        """Start the total budget now."""
        self._each_seconds = each_seconds
        # CPU time of this thread, not wall-clock time: a busy machine must not make documents fail.
        self._end = time.thread_time() + total_seconds
        self._deadline = self._end
        self._steps = 0

    @contextmanager
    def one_check(self) -> Iterator[None]:
        """Limit the CPU time of the block.

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
        """Count a keyword, and check the budget from time to time."""
        self._steps += 1
        if self._steps % _STEPS == 0:
            self.patterns()

    def patterns(self) -> Budget:
        """Return the remaining time as a budget for patterns."""
        left = self._deadline - time.thread_time()
        if left <= 0:
            raise CheckTooSlow
        return Budget(left)


_current: ContextVar[CpuBudget] = ContextVar("budget")


def current_budget() -> CpuBudget:
    """Return the budget of the running check."""
    return _current.get()
