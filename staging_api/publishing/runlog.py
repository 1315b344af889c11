"""What a run writes about itself, and the only way in which it writes anything.

Every write of a run is a transaction of `RunLog.writing`, so one of the publisher lock's holder or
none: a run that lost the lock can say nothing any more, and whoever takes the lock next finds it
``running`` and notes that it was abandoned.

To write in which phase it is takes as long as most phases do. So a run tells at its end which ones
there were, and before that only what somebody may be waiting for: a phase that can last is told
when it begins, and so is any that begins half a second after anything was told. If the process
dies, what it had begun within that time is not told by its row; by what it did, it is.
"""

import logging
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from dataclasses import asdict, dataclass, field

from sqlalchemy import Connection

from staging_api.db.engine import Database
from staging_api.errors import LockLost, StagingApiError, Unavailable
from staging_api.locks.hold import Locks, RequestOrigin, guarded
from staging_api.locks.keeper import Hold
from staging_api.locks.model import new_id
from staging_api.publishing import rows
from staging_api.publishing.hooks import HookResult
from staging_api.publishing.model import AptArchive
from staging_api.publishing.run_model import BegunPhase, NewPhases, Options
from staging_api.vocabulary.publishing import Operation, Purpose

log = logging.getLogger(__name__)

_TELL_SECONDS = 0.5


@dataclass
class RunLog:
    """One run, as long as it runs.

    Attributes:
        reached: told the name of every step that was done; tests end the process there.
        counts: how many of what.
        notes: what was tolerated.
    """

    id: str
    database: Database
    held: Hold
    caller: str
    reached: Callable[[str], None]
    counts: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    _untold: list[BegunPhase] = field(default_factory=list)
    _told: int = 0
    _told_at: float = field(default_factory=time.monotonic)

    @classmethod
    def begin(
        cls,
        locks: Locks,
        held: Hold,
        *,
        operation: Operation,
        archive: AptArchive,
        options: Options,
        origin: RequestOrigin,
        reached: Callable[[str], None],
        purpose: Purpose | None = None,
    ) -> "RunLog":
        """Write down that it runs; what died before it is abandoned by that."""
        run = cls(new_id(), locks.database, held, origin.caller, reached)
        with run.writing() as conn:
            dead = rows.begin_run(
                conn,
                run.id,
                held.lease,
                operation=operation,
                purpose=purpose,
                archive_id=archive.id,
                options=asdict(options),
                caller=origin.caller,
                holder=locks.holder,
                reference_id=origin.reference_id,
            )
        if dead:
            run.note("the run before this one ended in the middle; what it left was given up")
        reached("begun")
        return run

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that commits only while the lock is held."""
        return guarded(self.database, self.held)

    def phase(self, name: str, total: int | None = None, *, lasting: bool = False) -> None:
        """Begin a phase.

        Args:
            name: of the phase.
            total: of how many items it is, if that is known.
            lasting: whether it may take so long that somebody wants to know at once.
        """
        self._untold.append(BegunPhase(name, total, time.monotonic()))
        if lasting or self._is_time_to_tell():
            self._tell()
        self.reached(name)

    def progress(self, done: int, total: int) -> None:
        """Tell how far the phase is, now and then."""
        self.held.assert_held()
        if self._is_time_to_tell():
            self._tell((done, total))

    def _is_time_to_tell(self) -> bool:
        return time.monotonic() - self._told_at >= _TELL_SECONDS

    def _tell(self, progress: tuple[int, int] | None = None) -> None:
        self._told_at = time.monotonic()
        with self.writing() as conn:
            rows.unhurried(conn)
            if self._untold:
                rows.enter_phases(conn, self.id, self._new_phases())
            if progress:
                rows.note_progress(conn, self.id, *progress)

    def _new_phases(self) -> NewPhases:
        """What is told now, and by that not new any more."""
        new = NewPhases(self._told, self._untold, time.monotonic())
        self._told, self._untold = self._told + len(self._untold), []
        return new

    def note(self, text: str) -> None:
        """Remember what was tolerated."""
        log.warning("publication %s: %s", self.id, text)
        if text not in self.notes:
            self.notes.append(text)

    def hook(self, stage: str, result: HookResult) -> None:
        """Keep what a hook said."""
        with self.writing() as conn:
            rows.add_hook_run(conn, self.id, stage, result)

    def finish(self, error: StagingApiError | None = None) -> None:
        """Say that all was published; with an error, that a hook failed after that."""
        state = "published_hook_failed" if error else "succeeded"
        self._end(state, error)

    def fail(self, error: BaseException) -> None:
        """Say that it failed, if the lock still lets it; else the next run will say so."""
        with suppress(LockLost, Unavailable):
            self._end("failed", error)

    def _end(self, state: str, error: BaseException | None) -> None:
        code = error.code if isinstance(error, StagingApiError) else StagingApiError.code
        message = str(error) if isinstance(error, StagingApiError) else type(error).__name__
        with self.writing() as conn:
            if error:
                rows.abandon_generations(conn)
            rows.finish_run(
                conn,
                self.id,
                state,
                self._new_phases(),
                counts=+self.counts,
                notes=self.notes,
                code=code if error else None,
                message=message if error else None,
            )
