"""What a run writes about itself, and the only way in which it writes anything.

Every write of a run is a transaction of `RunLog.writing` or `RunLog.step`, which commits only for
the holder of the publisher's lock. A run that lost the lock can write nothing any more, and the
next run finds it ``running`` and notes that it was abandoned.

To write a phase takes as long as most phases do. So a run writes its phases when it ends, and
before that only those that a caller may be waiting for: a phase that can last when it begins, and
any that begins half a second after the last write. If the process dies, the phases of its last half
second are not in its row.

What if PostgreSQL dies? A `step` does not wait for the disk, and may be lost with it while this
process goes on. So steps are counted in the run's row, in the same transaction, and each write
after them compares: PostgreSQL loses the last commits, never one in the middle, so if the last step
is there all are, and a commit that waits for the disk makes them durable too. If one is lost, the
run fails, as if the process had died before that step.

What if a connection breaks, or all of them, as PostgreSQL starts anew? How a run ended, and what a
hook said, are written again for some seconds, as long as the lock is held; if an earlier try was
committed after all, a later one changes nothing. Phases are written with whatever is written next.
The database is asked whether a generation went live: a run is never called failed if clients see
what it made.
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
from staging_api.locks.hold import Locks, RequestOrigin, guarded
from staging_api.locks.keeper import Hold
from staging_api.publishing.hooks import HookResult
from staging_api.publishing.model import AptArchive
from staging_api.publishing.rows import runs
from staging_api.publishing.run_model import BegunPhase, NewPhases, NewRun, Options, RunEnd
from staging_api.vocabulary.publishing import Operation, Purpose, RunState

log = logging.getLogger(__name__)

_WRITE_SECONDS = 0.5
# Between the tries to write what a hook said, and how a run ended: PostgreSQL restarts in seconds.
_PAUSES_SECONDS = (0.0, 0.5, 1.0, 2.0, 4.0)
# Of a run that failed, whose process may be ending.
_NO_PAUSE = (0.0,)


@dataclass
class RunLog:
    """One run, while it runs.

    Attributes:
        reached: called with the name of every step that was done; tests end the process there.
        counts: number by name.
        notes: what was wrong and was tolerated.
        ended: whether its row says that it succeeded.
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
    # The row itself is written without waiting for the disk.
    _durable: bool = False
    _hooks: int = 0
    # How it ended, as soon as that is known; its row may not say so yet.
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
        """Write that a run began; mark an unfinished one, whose process died, as abandoned."""
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
        with guarded(locks.database, held) as conn:
            run_id, dead = runs.begin_run(conn, new)
        run = cls(run_id, locks.database, held, origin.caller, reached)
        if dead:
            run.note("the run before this one ended in the middle; what it left was given up")
        reached("begun")
        return run

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Open a transaction that commits only while the lock is held.

        Its commit waits for the disk, and with it are durable all steps before it.

        Raises:
            LockLost: the run goes on without the lock.
            Unavailable: PostgreSQL crashed and lost a step of the run.
        """
        with guarded(self.database, self.held) as conn:
            if not self._durable:
                runs.check_steps(conn, self.id, self._steps)
            yield conn
        self._durable = True

    @contextmanager
    def step(self) -> Iterator[Connection]:
        """Open a transaction like `writing`, whose commit does not wait for the disk.

        For what the run needs further on: nobody may be told of it before a later `writing`.

        Raises:
            LockLost, Unavailable: as with `writing`.
        """
        with guarded(self.database, self.held) as conn:
            runs.count_step(conn, self.id, self._steps)
            yield conn
        self._steps, self._durable = self._steps + 1, False

    def phase(self, name: str, total: int | None = None, *, lasting: bool = False) -> None:
        """Begin a phase.

        Args:
            name: of the phase.
            total: number of its items, if that is known.
            lasting: whether it may take long, so that its beginning is written at once.
        """
        self._pending.append(BegunPhase(name, total, time.monotonic()))
        if lasting or self._write_is_due():
            self._write()
        self.reached(name)

    def progress(self, done: int, total: int) -> None:
        """Note how many items of the phase are done; written twice a second at most.

        Raises:
            LockLost: the run goes on without the lock.
        """
        self.held.assert_held()
        if self._write_is_due():
            self._write((done, total))

    def note(self, text: str) -> None:
        """Note what was wrong and was tolerated, or what the run decided; each text once."""
        if text not in self.notes:
            log.warning("publication %s: %s", self.id, text)
            self.notes.append(text)

    def hook(self, stage: str, result: HookResult) -> None:
        """Keep the result of a hook.

        Raises:
            LockLost, Unavailable: as with `writing`; it was kept, or was not.
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
        """Open a transaction, which also writes that the run succeeded if that is all there is.

        Args:
            more: what the transaction adds to `counts`.
            ends: whether nothing is left to do, by the state at the end of the transaction.
            is_done: whether the transaction was committed, should its connection break; by default
                the run's row tells, in which it always writes the end.
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
        """Write that the run succeeded; with an error, that a hook failed after going live.

        Nothing, if the transaction of `ending` has written it.
        """
        if not self.ended:
            state: RunState = "published_hook_failed" if error else "succeeded"
            self._outcome = state, error
            self._end(state, error)

    def fail(self, error: BaseException) -> None:
        """Write that the run failed; without the lock, the next run abandons it.

        One that has ended, and whose end could not be written, did not fail: that is tried again.
        """
        outcome: tuple[RunState, BaseException | None] = self._outcome or ("failed", error)
        # The error that ended the run is raised, not one of writing it down.
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
            # People look at it, and nothing depends on it: the next write has to succeed.
            log.warning("publication %s: its phase is written later: %s", self.id, error)
            self._written, self._pending = before

    def _write_surely(
        self, write: Callable[[Connection], None], pauses: Iterable[float] = _PAUSES_SECONDS
    ) -> None:
        """Write what changes nothing when it is written again; after each pause if need be."""
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
        """Return the phases that are not written yet; they count as written from now on."""
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
