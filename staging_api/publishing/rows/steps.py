"""Guard of a publisher run's writes, and steps of one statement, which take one round trip.

A step of one statement is sent behind its guard in the same message, which PostgreSQL runs as one
transaction: both are committed, or the guard raises and neither is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, CursorResult, TextClause, text
from sqlalchemy.exc import DBAPIError

from staging_api.db.engine import plain_connection_of
from staging_api.db.plain_connection import FoundRows, Statements
from staging_api.errors import Unavailable
from staging_api.locks.model import Lease
from staging_api.locks.store import lost_lock

_PARAMETERS = ":g_kind, :g_scope, :g_lock, :g_fence, :g_run, :g_steps"
_GUARD = text(f"SELECT publisher_guard({_PARAMETERS})")
_STEP = text(f"SELECT publisher_step({_PARAMETERS})")
# Raised by both functions if the run's row has another number of steps.
_STEP_LOST = "SA002"


@dataclass(frozen=True)
class RunGuard:
    """Guard of a run's transaction, for `locks.hold.guarded`.

    Attributes:
        run_id: id of the run; None: the run has no row yet.
        steps: number of steps that its row must have; None: these are known to be durable.
        is_step: whether the transaction is a step itself: it is counted, and its commit does not
            wait for the disk.
    """

    run_id: str | None = None
    steps: int | None = None
    is_step: bool = False

    def __call__(self, conn: Connection, lease: Lease) -> None:
        """Check, as the first statement of a transaction, that the run may write.

        Raises:
            LockLost: the lock is no longer held.
            Unavailable: PostgreSQL crashed, and lost a step of the run.
        """
        with self.errors(lease):
            plain_connection_of(conn).execute(self.statement, self.parameters(lease))

    @property
    def statement(self) -> TextClause:
        """The statement of the guard."""
        return _STEP if self.is_step else _GUARD

    def parameters(self, lease: Lease) -> dict[str, Any]:
        """Return the parameters of the statement."""
        return {
            "g_kind": lease.kind.name,
            "g_scope": lease.scope,
            "g_lock": lease.id,
            "g_fence": lease.fence,
            "g_run": self.run_id,
            "g_steps": self.steps,
        }

    @contextmanager
    def errors(self, lease: Lease) -> Iterator[None]:
        """Translate the errors of the guard in the block; they are those of a call."""
        try:
            with lost_lock(lease):
                yield
        except DBAPIError as error:
            if getattr(error.orig, "pgcode", None) != _STEP_LOST:
                raise
            raise Unavailable(
                "PostgreSQL crashed and lost writes of this run; run it again"
            ) from None


@dataclass
class SingleWrite:
    """Guarded transaction of a single statement, in the place of a connection.

    Attributes:
        conn: sends statements that each commit by themselves.
        lease: lease of the run's lock.
        guard: guard of the run.
        is_sent: whether the statement was sent; there is no second one.
    """

    conn: Statements
    lease: Lease
    guard: RunGuard
    is_sent: bool = False

    def execute(
        self, statement: TextClause, given: Mapping[str, Any]
    ) -> FoundRows | CursorResult[Any]:
        """Send the statement behind its guard.

        Raises:
            LockLost, Unavailable: as in `RunGuard`.
        """
        if self.is_sent:
            raise AssertionError("a single write has one statement")
        self.is_sent = True
        both = _behind(self.guard.statement, statement)
        with self.guard.errors(self.lease):
            return self.conn.execute(both, {**given, **self.guard.parameters(self.lease)})


#: Connection of a guarded transaction, for functions that send one statement.
Writes = Connection | SingleWrite


@lru_cache(maxsize=64)
def _behind(guard: TextClause, statement: TextClause) -> TextClause:
    return text(f"{guard.text}; {statement.text}")
