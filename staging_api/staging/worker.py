"""The worker: works on stagings that have unfinished artifacts.

Background artifacts, requests that do not wait, and the work of dead processes are all the same for
a worker: rows that are due under free locks. It polls the database every `POLL_SECONDS`; the lock
decides which worker gets a staging. Callers take turns, and foreground artifacts come before
background ones: a job on background artifacts ends between two artifacts when a foreground artifact
is due and no job is free.

What if it dies? The same as for any holder: its leases expire and another worker, or the next
request, resumes the rows (see `staging.service`).
"""

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

from staging_api import logs
from staging_api.errors import (
    Cancelled,
    LockHeld,
    LockLost,
    ShuttingDown,
    StagingApiError,
    Unavailable,
)
from staging_api.locks.hold import RequestOrigin
from staging_api.staging.duties import database_steps, report_steps, scrub_steps, store_steps
from staging_api.staging.housekeeping import Housekeeping, HousekeepingStep
from staging_api.staging.repository import reading
from staging_api.staging.repository.reading import DueStaging
from staging_api.staging.resuming import resume
from staging_api.staging.service import StagingService
from staging_api.traces import Spans, untraced

log = logging.getLogger(__name__)

#: Short, since clients may be waiting; the poll probes only the few unfinished rows.
POLL_SECONDS = 0.1
#: Longest pause between attempts while the database, the store or this program fails; it grows from
#: `POLL_SECONDS`.
_LONGEST_PAUSE_SECONDS = 5.0
# Failures of a staging that another worker has finished meanwhile are dropped after this time.
_FORGOTTEN_SECONDS = 60.0
_CHORE_SECONDS = 1.0
# Longer than the database may let a statement wait.
_STUCK_SECONDS = 60.0
#: Time for a step of housekeeping that runs when the worker ends; each may be interrupted safely.
_PATIENCE_SECONDS = 2.0


class Worker:
    """Works on up to `jobs` stagings at once until it is stopped."""

    def __init__(
        self,
        stagings: StagingService,
        jobs: int,
        spans: Spans = untraced,
        *,
        jobs_per_caller: int = 0,
        chores: Mapping[str, Callable[[], None]] = MappingProxyType({}),
    ) -> None:
        """Set the limits; `run` does the work.

        Args:
            jobs_per_caller: limit of jobs for one caller; 0: all.
            chores: short work of other rooms, by name, run every second in a separate thread.
        """
        self._spans = spans
        self._chores = chores
        self._stagings = stagings
        self._jobs = jobs
        self._jobs_per_caller = jobs_per_caller
        self._origin = RequestOrigin(caller="worker")
        self._running: dict[str, _Job] = {}
        self._served = 0
        self._served_at: dict[str, int] = {}
        self._left: dict[str, _Left] = {}
        self._stop = threading.Event()
        self._turned_at = time.monotonic()

    def stop(self) -> None:
        """Begin no further job, and let `run` return when the running ones are done."""
        self._stop.set()

    @property
    def busy(self) -> int:
        """The number of stagings that are worked on now."""
        return sum(not job.done.done() for job in self._running.values())

    def check(self) -> None:
        """Check that the loop turns, unless it was stopped.

        Raises:
            Unavailable: it has not turned for a minute.
        """
        if time.monotonic() - self._turned_at > _STUCK_SECONDS and not self._stop.is_set():
            raise Unavailable("the worker's loop hangs")

    def run(self) -> None:
        """Work until `stop`; wait while the database is unavailable."""
        housekeeping = self._housekeeping()
        for each in housekeeping:
            each.start()
        failures = 0
        with ThreadPoolExecutor(self._jobs, "staging") as pool:
            while not self._stop.is_set():
                failures += 1
                try:
                    self._turned_at = time.monotonic()
                    self._begin_due(pool)
                    failures = 0
                except StagingApiError as error:
                    log.warning("the worker waits: %s", error.detail)
                except Exception:
                    # Other stagings of this process are in progress: this error must not end them.
                    log.exception("the worker waits")
                self._stop.wait(_pause(failures))
        for each in housekeeping:
            each.stop(_PATIENCE_SECONDS)

    def _begin_due(self, pool: ThreadPoolExecutor) -> None:
        self._running = {k: job for k, job in self._running.items() if not job.done.done()}
        if len(self._running) >= self._jobs:
            return
        with self._stagings.database.connect() as conn:
            # More than there are jobs: other workers may begin some of them first.
            due = reading.due(conn, each=2 * self._jobs)
        while len(self._running) < self._jobs and (turn := self._next(due)) is not None:
            self._served += 1
            self._served_at[turn.caller] = self._served
            done = pool.submit(self._resume, turn)
            # A new dict, since the heartbeat's thread may be iterating over the old one.
            self._running = {**self._running, turn.archive_url: _Job(turn.caller, done)}
        waiting = {turn.caller for turn in due} | {job.caller for job in self._running.values()}
        known = time.monotonic() - _FORGOTTEN_SECONDS
        self._left = {k: left for k, left in self._left.items() if left.until > known}
        # Keep only callers that wait or are served: the dict must not grow with all callers ever
        # seen.
        self._served_at = {k: at for k, at in self._served_at.items() if k in waiting}

    def _next(self, due: Sequence[DueStaging]) -> DueStaging | None:
        """Return the next staging: foreground first, then of the caller with the fewest jobs here.

        Among equals, of the caller whose last turn is longest ago: round robin.
        """
        running = Counter(job.caller for job in self._running.values())
        most = self._jobs_per_caller or self._jobs
        now = time.monotonic()
        put_off = {staging_id for staging_id, left in self._left.items() if left.until > now}
        free = [
            turn
            for turn in due
            if turn.archive_url not in self._running
            and running[turn.caller] < most
            and turn.staging_id not in put_off
        ]
        return min(
            free,
            key=lambda turn: (
                turn.background,
                running[turn.caller],
                self._served_at.get(turn.caller, 0),
                turn.staging_id,
            ),
            default=None,
        )

    def _foreground_waits(self) -> bool:
        """Return whether a foreground artifact is due while no job is free."""
        if len(self._running) < self._jobs:
            return False
        with self._stagings.database.connect() as conn:
            return reading.foreground_is_due(conn)

    def _resume(self, turn: DueStaging) -> None:
        try:
            attributes = {"staging.id": turn.staging_id, "staging.archive_url": turn.archive_url}
            with self._spans("staging", attributes):
                staging = self._stagings.find(turn.staging_id)
                resume(self._stagings, staging, self._origin, self._foreground_waits)
        except (Cancelled, LockHeld, LockLost, ShuttingDown) as error:
            log.info("staging %s is left to another: %s", turn.staging_id, error.detail)
        except StagingApiError as error:
            log.warning("staging %s is left for later: %s", turn.staging_id, error.detail)
            self._put_off(turn)
        except Exception:
            log.exception("staging %s is left for later", turn.staging_id)
            self._put_off(turn)
        finally:
            logs.clear_log_context()

    def _put_off(self, turn: DueStaging) -> None:
        """Postpone a staging that failed: others go first, and fewer failures are logged."""
        before = self._left.get(turn.staging_id)
        failures = before.failures + 1 if before else 1
        left = _Left(failures, time.monotonic() + _pause(failures))
        # A new dict, since the loop's thread may be iterating over the old one.
        self._left = {**self._left, turn.staging_id: left}

    def _housekeeping(self) -> tuple[Housekeeping, ...]:
        """Return the duties of a worker, by the resource that they need."""
        chores = [
            HousekeepingStep(name, _CHORE_SECONDS, chore) for name, chore in self._chores.items()
        ]
        return (
            Housekeeping("of the database", database_steps(self._stagings)),
            Housekeeping("of the store", store_steps(self._stagings)),
            Housekeeping("of reports", report_steps(self._stagings)),
            Housekeeping("of contents", scrub_steps(self._stagings, self._stop)),
            *([Housekeeping("of others", chores)] if chores else []),
        )


def _pause(failures: int) -> float:
    """Return the pause in seconds after this number of failures in a row."""
    # The exponent is bounded, as 2.0 ** 1024 raises OverflowError.
    return min(POLL_SECONDS * 2.0 ** min(failures, 20), _LONGEST_PAUSE_SECONDS)


@dataclass(frozen=True)
class _Left:
    """A staging that failed here, for a reason that is not its own.

    Attributes:
        failures: number of failures in a row in this process.
        until: time before which it is not tried again, by `time.monotonic`.
    """

    failures: int
    until: float


@dataclass(frozen=True)
class _Job:
    """A staging that is worked on here."""

    caller: str
    done: "Future[None]"
