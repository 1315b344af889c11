"""The guard of what a run writes, and steps of a run: writes of one statement, in one round trip.

A step is sent behind its guard in one message, which PostgreSQL runs as one transaction: it is
committed as a whole, or the guard raises and nothing of it is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import DBAPIError

from staging_api.errors import LockLost, Unavailable
from staging_api.locks.model import Lease

_GIVEN = ":g_kind, :g_scope, :g_lock, :g_fence, :g_run, :g_steps"
_GUARD = f"SELECT publisher_guard({_GIVEN})"
_STEP = f"SELECT publisher_step({_GIVEN})"
# What the two functions raise.
_LOCK_LOST, _STEP_LOST = "SA001", "SA002"


@dataclass(frozen=True)
class Guard:
    """What has to be true of each write of a run.

    Attributes:
        lease: the run's lock, which must be held.
        run_id: of the run; None: its row is not there yet.
        steps: that must be in its row; None: that was seen on the disk.
    """

    lease: Lease
    run_id: str | None = None
    steps: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        """The parameters of the statements."""
        lease = self.lease
        return {
            "g_kind": lease.kind.name,
            "g_scope": lease.scope,
            "g_lock": lease.id,
            "g_fence": lease.fence,
            "g_run": self.run_id,
            "g_steps": self.steps,
        }

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Raise what the guard raised as what it means."""
        try:
            yield
        except DBAPIError as error:
            code = getattr(error.orig, "pgcode", None)
            if code == _LOCK_LOST:
                lock = f"the {self.lease.kind.name} lock on {self.lease.scope}"
                raise LockLost(f"{lock} is no longer held") from None
            if code == _STEP_LOST:
                raise Unavailable(
                    "PostgreSQL crashed and lost writes of this run; run it again"
                ) from None
            raise

    def check(self, conn: Connection) -> None:
        """Let a transaction write, as its first statement.

        Raises:
            LockLost: the lock is no longer held.
            Unavailable: a step of the run was lost.
        """
        with self.translated():
            conn.execute(text(_GUARD), self.given)

    def count(self, conn: Connection) -> None:
        """Do as `check`, and count the transaction as a step, which does not wait for the disk."""
        with self.translated():
            conn.execute(text(_STEP), self.given)


@dataclass(frozen=True)
class Guarded:
    """Sends statements that are a guarded transaction each; for functions that send just one.

    Attributes:
        conn: a connection on which each statement commits by itself.
        counted: whether each is a step of the run.
    """

    conn: Connection
    guard: Guard
    counted: bool = True

    def execute(self, statement: TextClause, given: Mapping[str, Any]) -> CursorResult[Any]:
        """Write.

        Raises:
            LockLost, Unavailable: as with `Guard.check`.
        """
        with self.guard.translated():
            behind = _behind(_STEP if self.counted else _GUARD, statement)
            return self.conn.execute(behind, {**given, **self.guard.given})


#: What functions that send one statement take: a transaction that is guarded, or a write by itself.
Writes = Connection | Guarded


@lru_cache(maxsize=64)
def _behind(guard: str, statement: TextClause) -> TextClause:
    return text(f"{guard}; {statement.text}")
