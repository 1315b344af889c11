"""Leases in PostgreSQL: each function is one statement, on `Database.statements` one round trip.

The statements call the functions of ``db/functions/lock_*.sql``. These files and
``docs/explanation/lock.md`` explain the decisions of each function, and the effect of a process
that dies at each step.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, TypeVar

from psycopg2.errors import UniqueViolation
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError

from staging_api.db.engine import call
from staging_api.db.retries import retried_when_blocked
from staging_api.errors import LockLost, Unavailable
from staging_api.locks.model import Lease, LockRequest, Refusal, WaitingPlace

T = TypeVar("T")

_ACQUIRE = "SELECT * FROM lock_acquire(%s, %s, %s, %s, %s, %s, %s, %s)"
_RENEW = """
    SELECT * FROM lock_extend(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::float8[])
"""
_RELEASE = "SELECT lock_release(%s, %s, %s, %s, %s)"
# Also notes the grant, until the transaction ends, for the triggers that record the author of a
# change.
_GUARD = "SELECT lock_guard_write(%s, %s, %s, %s)"
# SQLSTATE of the error of `lock_guard_write` if the lease is not current.
_LOCK_LOST = "SA001"
_BREAK = "SELECT lock_break(%s, %s, %s)"
_EXPIRE = "SELECT lock_expire(%s)"
_WAIT = "SELECT lock_wait(%s, %s, %s, %s, %s, %s, %s, %s)"
_LEAVE = "SELECT lock_leave(%s)"
# Skips locked rows: their waiters are about to be granted the lock. Like lock_wait, this does not
# wait for the disk.
_POLL_WAITERS = """
    WITH mine AS (
        SELECT w.id FROM lock_waiters w WHERE w.id = ANY(%s::text[]) FOR UPDATE SKIP LOCKED
    ), seen AS (
        UPDATE lock_waiters w SET seen_at = clock_timestamp() FROM mine WHERE w.id = mine.id
        RETURNING w.id, w.kind, w.scope, w.place
    )
    SELECT seen.id, seen.kind, seen.scope, set_config('synchronous_commit', 'off', true),
        CASE WHEN s.lock_id IS NULL THEN 0
             ELSE greatest(0, date_part('epoch', s.expires_at - clock_timestamp()))
        END AS held_seconds
    FROM seen LEFT JOIN lock_scopes s USING (kind, scope)
    ORDER BY seen.place
"""
_EXTEND_HISTORY = "SELECT lock_history_extend(%s)"
_DROP_HISTORY = "SELECT lock_history_drop(%s)"
_DELETE_UNUSED_SCOPES = "SELECT lock_forget_scopes(make_interval(secs => %s))"

# An English server's message for a commit that did not wait; other languages need the second
# attempt.
_NOT_REPLICATED = "canceling wait"

_MONTHS_AHEAD = 3
_SCOPE_UNUSED_SECONDS = 24 * 3600.0


def acquire(conn: Connection, request: LockRequest) -> Lease | Refusal:
    """Take the lock if it is free: THE statement by which every lock is acquired.

    A refusal by a live lease writes nothing and does not wait. The same id sent again, after a lost
    answer or a grant from the queue, gets the same grant, for a full lease from now.

    Raises:
        LockLost: this id was granted before and has ended; an id is granted once.
        Unavailable: whether the grant is durable is not known; send the same id again.
    """
    r = request
    given = (
        *(r.id, r.kind.name, r.scope, r.caller, r.holder, r.reference_id),
        *(r.lease_seconds, r.kind.delay_seconds),
    )
    try:
        row = _durable(conn, lambda: call(conn, _ACQUIRE, given))
    except IntegrityError as error:
        if isinstance(error.orig, UniqueViolation):
            raise LockLost(f"lock {r.id} was granted before and has ended") from None
        raise
    result, lock_id, *grant = row
    if result == "granted":
        fence, _, _, _, *times = grant
        return Lease(r.id, r.kind, r.scope, fence, *times)
    # The columns of the function are in the order of the fields.
    return Refusal(lock_id, r.kind, r.scope, *grant)


def renew(conn: Connection, leases: Sequence[tuple[Lease, float]]) -> dict[str, float | None]:
    """Extend many leases at once, each by its own seconds; guarded writes do not block this.

    Returns:
        Remaining seconds by id of the extended leases. None for a lease that is current and was not
        extended, because another transaction had locked its row. Missing ids are lost.

    Raises:
        Unavailable: whether the renewal is durable is not known; the leases are not renewed.
    """
    given = (
        [lease.kind.name for lease, _ in leases],
        [lease.scope for lease, _ in leases],
        [lease.id for lease, _ in leases],
        [lease.fence for lease, _ in leases],
        [seconds for _, seconds in leases],
    )
    rows = _durable(conn, lambda: conn.exec_driver_sql(_RENEW, given).all())
    return {row.id: row.remaining_seconds if row.extended else None for row in rows}


def release(conn: Connection, lease: Lease, ended_by: str) -> str | None:
    """End a lease and return its outcome; any other than ``released`` means it was lost before.

    Returns None if there is no such grant, as after a failover to a standby that never received it.
    """
    given = (lease.kind.name, lease.scope, lease.id, lease.fence, ended_by)
    outcome: str | None = call(conn, _RELEASE, given)[0]
    return outcome


def guard(conn: Connection, lease: Lease) -> None:
    """Refuse to continue this transaction unless `lease` is current and unexpired.

    The scope cannot change hands before the transaction ends, so the holder writes all of it or
    nothing.

    Raises:
        LockLost: the lease expired, was broken or was superseded.
    """
    with lost_lock(lease):
        conn.exec_driver_sql(_GUARD, (lease.kind.name, lease.scope, lease.id, lease.fence))


@contextmanager
def lost_lock(lease: Lease) -> Iterator[None]:
    """Translate the error of ``lock_guard_write`` in the block.

    Raises:
        LockLost: the lease expired, was broken or was superseded.
    """
    try:
        yield
    except DBAPIError as error:
        if getattr(error.orig, "pgcode", None) != _LOCK_LOST:
            raise
        lock = f"the {lease.kind.name} lock on {lease.scope}"
        raise LockLost(f"{lock} is no longer held") from None


def break_lock(conn: Connection, lock_id: str, by: str, reason: str) -> str | None:
    """End another holder's lease and fence off its writes.

    Returns:
        ``broken``, or the outcome that the grant already had; None if there was no such grant.
    """
    return conn.exec_driver_sql(_BREAK, (lock_id, by, reason)).scalar_one_or_none()


def record_expired(conn: Connection, by: str) -> int:
    """Record the outcome of expired leases; return their number."""
    return int(conn.exec_driver_sql(_EXPIRE, (by,)).scalar_one())


def wait(conn: Connection, request: LockRequest, leaves_after_seconds: float) -> None:
    """Take a place in the queue of the scope, or show that its waiter is alive."""
    r = request
    conn.exec_driver_sql(
        _WAIT,
        (
            *(r.id, r.kind.name, r.scope, r.caller, r.holder, r.reference_id),
            *(r.lease_seconds, leaves_after_seconds),
        ),
    )


def poll_waiters(conn: Connection, ids: Sequence[str]) -> list[WaitingPlace]:
    """Show that the waiters of a process are alive, and return the place of each.

    Returns:
        Their places, in order of arrival. A missing waiter was granted its lock, is about to be, or
        has lost its place.
    """
    found = conn.exec_driver_sql(_POLL_WAITERS, (list(ids),))
    return [WaitingPlace(row.id, row.kind, row.scope, row.held_seconds) for row in found]


def leave(conn: Connection, lock_id: str) -> None:
    """Leave the queue."""
    conn.exec_driver_sql(_LEAVE, (lock_id,))


def extend_history(conn: Connection) -> None:
    """Create the missing partitions of the history for the coming months.

    Args:
        conn: autocommit connection; waits for other transactions for a few seconds at most.
    """
    retried_when_blocked(conn, _EXTEND_HISTORY, (_MONTHS_AHEAD,))


def drop_history(conn: Connection, before: datetime) -> list[str]:
    """Drop the months of the history that ended before a time; return the names of their tables."""
    return retried_when_blocked(conn, _DROP_HISTORY, (before,))


def delete_unused_scopes(conn: Connection, unused_seconds: float = _SCOPE_UNUSED_SECONDS) -> int:
    """Delete the rows of free scopes that were not used recently; return their number."""
    return int(conn.exec_driver_sql(_DELETE_UNUSED_SCOPES, (unused_seconds,)).scalar_one())


def _durable(conn: Connection, send: Callable[[], T]) -> T:
    """Return the result of `send` only if its commit waited for the standbys.

    If the wait of a commit for the standbys is cancelled, PostgreSQL reports the commit as done,
    with a warning; a failover can lose it. The driver passes warnings on as text in the server's
    language, and most have another meaning: one about wraparound comes with every transaction id
    for days. So after any warning, `send` runs once more in a transaction: a warning of its COMMIT
    alone is about the commit. The second commit follows the first in the log, so if it is durable,
    both are.

    Raises:
        Unavailable: whether the commit is durable is not known.
    """
    driver: Any = conn.connection.driver_connection
    driver.notices = notices = _Notices()
    try:
        answer = send()
        # In a transaction of the caller, the commit is the caller's.
        if notices.warning is None or not driver.autocommit:
            return answer
        notices.refuse_known()
        conn.exec_driver_sql("BEGIN")
        try:
            answer = send()
        except BaseException:
            conn.exec_driver_sql("ROLLBACK")
            raise
        notices.warning = None
        conn.exec_driver_sql("COMMIT")
        notices.refuse_any()
        return answer
    finally:
        driver.notices = []


class _Notices:
    """A replacement for psycopg2's list of notices, which SQLAlchemy empties into its log."""

    warning: str | None = None

    def append(self, notice: str) -> None:
        self.warning = notice.strip()

    def refuse_any(self) -> None:
        if self.warning is not None:
            raise Unavailable(f"the database warned: {self.warning}", retry_after_seconds=1)

    def refuse_known(self) -> None:
        if _NOT_REPLICATED in (self.warning or ""):
            self.refuse_any()
