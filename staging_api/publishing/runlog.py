"""What a run writes about itself, and the only way in which it writes anything.

Every write of a run is a transaction of `RunLog.writing`, so one of the publisher lock's holder or
none: a run that lost the lock can say nothing any more, and whoever takes the lock next finds it
``running`` and notes that it was abandoned.
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
from staging_api.locks.hold import Asker, Locks, guarded
from staging_api.locks.keeper import Hold
from staging_api.locks.model import new_id
from staging_api.publishing import repository
from staging_api.publishing.hooks import HookResult
from staging_api.publishing.model import AptArchive, Operation, Options

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
    _told_at: float = 0.0

    @classmethod
    def begin(
        cls,
        locks: Locks,
        held: Hold,
        *,
        operation: Operation,
        archive: AptArchive,
        options: Options,
        asker: Asker,
        reached: Callable[[str], None],
    ) -> "RunLog":
        """Write down that it runs; what died before it is abandoned by that."""
        run = cls(new_id(), locks.database, held, asker.caller, reached)
        with run.writing() as conn:
            dead = repository.begin_run(
                conn,
                run.id,
                held.lease,
                operation=operation,
                archive_id=archive.id,
                options=asdict(options),
                caller=asker.caller,
                holder=locks.holder,
                reference_id=asker.reference_id,
            )
        if dead:
            run.note("the run before this one ended in the middle; what it left was given up")
        reached("begun")
        return run

    def writing(self) -> AbstractContextManager[Connection]:
        """A transaction that commits only while the lock is held."""
        return guarded(self.database, self.held)

    def phase(self, name: str, total: int | None = None) -> None:
        """Begin a phase, of so many items if that is known."""
        with self.writing() as conn:
            repository.enter_phase(conn, self.id, name, total)
        self._told_at = time.monotonic()
        self.reached(name)

    def progress(self, done: int, total: int) -> None:
        """Tell how far the phase is, now and then."""
        self.held.assert_held()
        if time.monotonic() - self._told_at >= _TELL_SECONDS:
            self._told_at = time.monotonic()
            with self.writing() as conn:
                repository.note_progress(conn, self.id, done, total)

    def note(self, text: str) -> None:
        """Remember what was tolerated."""
        log.warning("publication %s: %s", self.id, text)
        if text not in self.notes:
            self.notes.append(text)

    def hook(self, stage: str, result: HookResult) -> None:
        """Keep what a hook said."""
        with self.writing() as conn:
            repository.add_hook_run(conn, self.id, stage, result)

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
            repository.abandon_generations(conn)
            repository.finish_run(
                conn,
                self.id,
                state,
                counts=+self.counts,
                notes=self.notes,
                code=code if error else None,
                message=message if error else None,
            )
