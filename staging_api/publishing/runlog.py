"""The record of a run, through which the run makes all of its writes.

Every write of a run is a transaction of `RunLog.writing` or `RunLog.step`, which commits only while
the run holds the publisher's lock. A run that lost the lock can no longer write anything, and the
next run finds it ``running`` and marks it as abandoned.

Writing a phase takes as long as most phases do. Therefore a run writes its phases when it ends, and
earlier only those that a caller may be waiting for: a phase that can take long, at its start, and
any phase that starts half a second or more after the last write. If the process dies, the phases of
its last half second are not in its row.

What if PostgreSQL dies? The commit of a `step` does not wait for the disk, and may be lost while
this process goes on. Therefore steps are counted in the run's row, in the same transaction, and
each later write compares the count: PostgreSQL loses only the newest commits, so if the last step
was kept, all were, and a commit that waits for the disk makes them durable too. If a step was lost,
the run fails, as if the process had died before that step.

What if one connection breaks, or all of them, because PostgreSQL restarts? The outcome of a run and
the results of hooks are written again for some seconds, while the lock is held; if an earlier
attempt was committed after all, a later one changes nothing. Phases are written with the next
successful write. Whether a generation went live is read from the database: a run is never recorded
as failed if clients see its generation.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.errors import ConnectionLost, LockLost, StagingApiError, Unavailable
from staging_api.locks.hold import Locks, RequestOrigin, guarded, prepare_write
from staging_api.locks.keeper import Hold
from staging_api.publishing.hooks import HookResult
from staging_api.publishing.model import AptArchive
from staging_api.publishing.rows import runs
from staging_api.publishing.rows.steps import RunGuard, SingleWrite
from staging_api.publishing.run_model import BegunPhase, NewPhases, NewRun, Options, RunEnd
from staging_api.vocabulary.publishing import Operation, Purpose, RunState

log = logging.getLogger(__name__)

_WRITE_SECONDS = 0.5
# Pauses between attempts to write the result of a hook or the outcome of a run: PostgreSQL restarts
# in seconds.
_PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0)
# For a failed run, whose process may be ending.
_NO_PAUSE = (0.0,)


@dataclass
class RunLog:
    """A run while it is running.

    Attributes:
        reached: called with the name of each completed step; tests use it to end the process there.
        counts: counters by name.
        notes: problems that did not stop the run.
        ended: whether its row has the state ``succeeded``.
    """

    id: str
    database: Database
    held: Hold
    caller: str
    reached: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _pending: list[BegunPhase] = field(default_factory=list)
    _written: int = 0
    _written_at: float = field(default_factory=time.monotonic)
    ended: bool = False
    _steps: int = 0
    # Whether all writes are durable; the row itself is written without waiting for the disk.
    _durable: bool = False
    _hooks: int = 0
    # Outcome of the run, as soon as it is known; the row may not have it yet.
    _outcome: "tuple[RunState, StagingApiError | None] | None" = None

    @classmethod
    def begin(
        cls,
        locks: Locks,
        held: Hold,
        *,
        operation: Operation,
        apt_archive: AptArchive,
        options: Options,
        origin: RequestOrigin,
        reached: Callable[[str], None],
        purpose: Purpose | None = None,
    ) -> "RunLog":
        """Record the start of a run; mark an unfinished one, whose process died, as abandoned."""
        new = NewRun(
            operation=operation,
            purpose=purpose,
            archive_id=apt_archive.id,
            options=asdict(options),
            caller=origin.caller,
            holder=locks.holder,
            reference_id=origin.reference_id,
            lock_id=held.lease.id,
            fence=held.lease.fence,
        )
        prepare_write(locks.database, held)
        with locks.database.plain_connection() as conn:
            run_id, dead = runs.begin_run(SingleWrite(conn, held.lease, RunGuard()), new)
        run = cls(run_id, locks.database, held, origin.caller, reached)
        if dead:
            run.note("the previous run ended unexpectedly; its unfinished work was abandoned")
        reached("begun")
        return run

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that commits only while the lock is held.

        The commit waits for the disk, and makes all earlier steps durable.

        Raises:
            LockLost: the run has lost the lock.
            Unavailable: PostgreSQL crashed and lost a step of the run.
        """
        guard = RunGuard(self.id, None if self._durable else self._steps)
        with guarded(self.database, self.held, guard) as conn:
            yield conn
        self._durable = True

    @contextmanager
    def step(self) -> Iterator[Connection]:
        """Open a transaction like `writing`, but whose commit does not wait for the disk.

        Use it for data that only the run itself needs: no caller may see the result before a later
        `writing`.

        Raises:
            LockLost, Unavailable: as in `writing`.
        """
        guard = RunGuard(self.id, self._steps, is_step=True)
        with guarded(self.database, self.held, guard) as conn:
            yield conn
        self._steps, self._durable = self._steps + 1, False

    @contextmanager
    def single_step(self) -> Iterator[SingleWrite]:
        """Open a `step` of exactly one statement, which takes one round trip.

        Raises:
            LockLost, Unavailable: as in `writing`.
        """
        prepare_write(self.database, self.held)
        guard = RunGuard(self.id, self._steps, is_step=True)
        with self.database.plain_connection() as conn:
            write = SingleWrite(conn, self.held.lease, guard)
            yield write
        if not write.is_sent:
            raise AssertionError("a single step has one statement")
        self._steps, self._durable = self._steps + 1, False

    def phase(self, name: str, total: int | None = None, *, lasting: bool = False) -> None:
        """Begin a phase.

        Args:
            name: name of the phase.
            total: number of its items, if known.
            lasting: whether it may take long, so that its start is written at once.
        """
        self._pending.append(BegunPhase(name, total, time.monotonic()))
        if lasting or self._write_is_due():
            self._write()
        self.reached(name)

    def progress(self, done: int, total: int) -> None:
        """Record how many items of the phase are done; written at most twice a second.

        Raises:
            LockLost: the run has lost the lock.
        """
        self.held.assert_held()
        if self._write_is_due():
            self._write((done, total))

    def note(self, text: str) -> None:
        """Add a note on a tolerated problem, or on a decision of the run; each text only once."""
        if text not in self.notes:
            log.warning("publication %s: %s", self.id, text)
            self.notes.append(text)

    def hook(self, stage: str, result: HookResult) -> None:
        """Store the result of a hook.

        Raises:
            LockLost, Unavailable: as in `writing`; the result may have been stored or not.
        """
        self._write_surely(
            lambda conn: runs.add_hook_run(conn, self.id, stage, result, before=self._hooks)
        )
        self._hooks += 1

    @contextmanager
    def ending(
        self,
        more: Mapping[str, int],
        *,
        ends: Callable[[Connection], bool] = lambda _conn: True,
        is_done: Callable[[Connection], bool] | None = None,
    ) -> Iterator[Connection]:
        """Open a transaction that also records the success of the run, if no work is left.

        Args:
            more: counts added by the transaction.
            ends: returns whether no work is left, by the state at the end of the transaction.
            is_done: returns whether the transaction was committed, if its connection breaks; by
                default read from the run's row, because the default of `ends` always records the
                success.
        """
        counts, ended = self.counts + Counter(more), None
        try:
            with self.writing() as conn:
                yield conn
                if ended := ends(conn):
                    self._write_end(conn, self._take_pending(), "succeeded", counts)
        except ConnectionLost:
            if ended is None or not self._look(is_done or self._has_succeeded):
                raise
        self.counts, self.ended = counts, bool(ended)

    def finish(self, error: StagingApiError | None = None) -> None:
        """Record the success of the run or, with an error, a hook that failed after going live.

        Does nothing if the transaction of `ending` has recorded the success.
        """
        if not self.ended:
            state: RunState = "published_hook_failed" if error else "succeeded"
            self._outcome = state, error
            self._end(state, error)

    def fail(self, error: BaseException) -> None:
        """Record the failure of the run; without the lock, the next run marks it as abandoned.

        A run that had an outcome which could not be written has not failed: that outcome is written
        again.
        """
        outcome: tuple[RunState, BaseException | None] = self._outcome or ("failed", error)
        # Errors of this write are suppressed, because the caller raises the error that ended the
        # run.
        with suppress(LockLost, Unavailable):
            self._end(*outcome, pauses=_NO_PAUSE)

    def _write_is_due(self) -> bool:
        return time.monotonic() - self._written_at >= _WRITE_SECONDS

    def _write(self, progress: tuple[int, int] | None = None) -> None:
        self._written_at = time.monotonic()
        before = self._written, self._pending
        try:
            with guarded(self.database, self.held) as conn:
                runs.commit_asynchronously(conn)
                if self._pending:
                    runs.enter_phases(conn, self.id, self._take_pending())
                if progress:
                    runs.note_progress(conn, self.id, *progress)
        except Unavailable as error:
            # Phases are only for people to read, and nothing depends on them: the next write has to
            # succeed.
            log.warning("publication %s: its phase is written later: %s", self.id, error)
            self._written, self._pending = before

    def _write_surely(
        self, write: Callable[[Connection], None], pauses: Iterable[float] = _PAUSES_SECONDS
    ) -> None:
        """Make a write that is safe to repeat, with another attempt after each pause."""
        for pause in pauses:
            with suppress(Unavailable), self.writing() as conn:
                write(conn)
                return
            time.sleep(pause)
        with self.writing() as conn:
            write(conn)

    def _has_succeeded(self, conn: Connection) -> bool:
        return runs.find_run(conn, self.id).state == "succeeded"

    def _look(self, at: Callable[[Connection], bool]) -> bool:
        with self.database.connect() as conn:
            return at(conn)

    def _take_pending(self) -> NewPhases:
        """Return the phases that are not written yet; from now on they count as written."""
        new = NewPhases(self._written, self._pending, time.monotonic())
        self._written, self._pending = self._written + len(self._pending), []
        return new

    def _end(
        self,
        state: RunState,
        error: BaseException | None,
        pauses: Iterable[float] = _PAUSES_SECONDS,
    ) -> None:
        new = self._take_pending()

        def write(conn: Connection) -> None:
            if error:
                runs.abandon_generations(conn)
            self._write_end(conn, new, state, self.counts, error)

        self._write_surely(write, pauses)

    def _write_end(
        self,
        conn: Connection,
        new: NewPhases,
        state: RunState,
        counts: Counter[str],
        error: BaseException | None = None,
    ) -> None:
        code = message = None
        if isinstance(error, StagingApiError):
            code, message = error.code, str(error)
        elif error:
            code, message = StagingApiError.code, type(error).__name__
        end = RunEnd(state, +counts, self.notes, code, message)
        runs.finish_run(conn, self.id, end, new)
