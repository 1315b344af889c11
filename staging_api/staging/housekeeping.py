"""Housekeeping: periodic steps, in separate threads.

Steps are independent. A step that fails is logged, counted and retried with exponential back-off,
while the others go on; no step ends the process or delays its stagings. If a step has more work
than it should do at once, it reports that, and runs again after the others.

Steps that need only the database run in another thread than those that need the store: a volume
that hangs must not prevent the partitions for the next months.

What if the process dies? Every step may be interrupted, and may run in several workers at once; the
next turn, in any worker, continues.
"""

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from staging_api import logs, metrics
from staging_api.errors import StagingApiError

log = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 5.0
_LONGEST_RETRY_SECONDS = 600.0


@dataclass(frozen=True)
class StepResult:
    """The result of a step.

    Attributes:
        more: whether there is more to do at once.
        failed: number of items that were passed over, and are tried again another time.
    """

    more: bool = False
    failed: int = 0


@dataclass
class HousekeepingStep:
    """One duty.

    Attributes:
        name: its name in metrics and log lines.
        every_seconds: interval between two runs that leave nothing to do.
        run: runs the step; returns None if all was done.
        due_at: time of its next run, by `time.monotonic`; at once in the beginning.
        failures: number of failures in a row.
    """

    name: str
    every_seconds: float
    run: Callable[[], StepResult | None]
    due_at: float = 0.0
    failures: int = 0


class Housekeeping:
    """A thread that runs its steps in turns, until it is stopped."""

    def __init__(self, name: str, steps: Sequence[HousekeepingStep]) -> None:
        self._steps = steps
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"housekeeping {name}", daemon=True)
        for step in steps:
            # Creates the series at 0: Prometheus sees no increase in a series that begins at 1.
            metrics.HOUSEKEEPING_FAILURES.labels(step.name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience_seconds: float) -> None:
        """Begin no further step, and wait for the running one, at most `patience_seconds`."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(patience_seconds)

    def turn(self) -> None:
        """Run each step that is due."""
        for step in self._steps:
            if time.monotonic() >= step.due_at and not self._stop.is_set():
                self._do(step)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.turn()
            next_at = min(step.due_at for step in self._steps)
            # A pause even while a step has more to do, so that the loop never spins.
            self._stop.wait(max(next_at - time.monotonic(), 0.01))

    def _do(self, step: HousekeepingStep) -> None:
        try:
            done = step.run() or StepResult()
        except Exception as error:
            step.failures += 1
            metrics.HOUSEKEEPING_FAILURES.labels(step.name).inc()
            # The exponent is bounded, as 2.0 ** 1024 raises OverflowError.
            again = _FIRST_RETRY_SECONDS * 2.0 ** min(step.failures - 1, 20)
            # Random, so that the workers of a cluster do not retry together.
            again = min(again, _LONGEST_RETRY_SECONDS) * random.uniform(0.75, 1)  # noqa: S311
            step.due_at = time.monotonic() + again
            log.warning(
                "housekeeping: %s failed, and is tried again in %.0f s: %s: %s",
                *(step.name, again, type(error).__name__, error),
                # An unavailable database is an expected error: its name is enough.
                exc_info=step.failures == 1 and not isinstance(error, StagingApiError),
            )
        else:
            step.failures = 0
            metrics.HOUSEKEEPING_FAILURES.labels(step.name).inc(done.failed)
            metrics.HOUSEKEEPING_DONE.labels(step.name).set_to_current_time()
            step.due_at = time.monotonic() + (0.0 if done.more else step.every_seconds)
        finally:
            # The context belongs to the thread, and the next step runs in the same one.
            logs.clear_log_context()
