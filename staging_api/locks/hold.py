"""THE place where a lock is taken: `hold` acquires it, keeps it alive and releases it.

What if the process dies? Before `store.acquire` commits: nothing happened. At any point after that:
the lease is no longer renewed and expires; the next request gets the scope with a higher fence, and
the row in ``api_locks`` gets the outcome ``superseded`` (or ``expired``). In `store.release`: the
lock is released or not; both states are consistent. If the process is frozen past its lease and
continued: `assert_held` and every guarded write refuse with `LockLost`; nothing succeeds silently.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection

from staging_api import clock, metrics
from staging_api.clients import ALWAYS_CONNECTED, Client, check_connected
from staging_api.db.engine import Database
from staging_api.errors import LockHeld, LockLost, StagingApiError, Unavailable
from staging_api.locks import store
from staging_api.locks.keeper import Hold, LeaseKeeper
from staging_api.locks.model import Lease, LockKind, LockRequest, Refusal, new_id
from staging_api.locks.queue import Waiter, WaitQueue, until
from staging_api.logs import bind_log_context
from staging_api.shutdown import Shutdown

_T = TypeVar("_T")

log = logging.getLogger(__name__)

# The beginning of a shutdown wakes no waiter, so waiters check it at this interval.
_SHUTDOWN_CHECK_SECONDS = 1.0


@dataclass(frozen=True)
class Locks:
    """The lock service of a process, built once, after any fork.

    Attributes:
        holder: the name of this process in ``api_locks.holder``.
        lease_seconds: life of a lease that is not renewed.
        shutdown: once it has begun, no request waits here for a lock.
    """

    database: Database
    keeper: LeaseKeeper
    queue: WaitQueue
    holder: str
    lease_seconds: float
    shutdown: Shutdown = field(default_factory=Shutdown)

    def check(self) -> None:
        """Check that this process can keep its leases alive; for ``/livez``.

        Raises:
            Unavailable: names the thread that does not run.
        """
        self.keeper.check()
        self.queue.check()
        self.database.check()

    def release_all(self) -> None:
        """Release every lock that is still held, so that other processes continue the work."""
        for held in self.keeper.holds():
            # The work in this process stops before another process may continue it.
            held.mark_lost()
            _release(self, held)

    def close(self) -> None:
        """Stop the threads; leases that are still held expire."""
        self.keeper.close()
        self.queue.close()


_entered: ContextVar[tuple["_Entered", ...]] = ContextVar("held_here", default=())


@dataclass(frozen=True)
class RequestOrigin:
    """The caller and request on whose behalf a lock is taken.

    Attributes:
        turn_of: the caller whose turn in the fair queue the work uses; None: `caller`.
    """

    caller: str
    reference_id: str | None = None
    turn_of: str | None = None
    client: Client = field(default=ALWAYS_CONNECTED, compare=False, repr=False)


@contextmanager
def hold(
    locks: Locks, kind: LockKind, scope: str, origin: RequestOrigin, wait_seconds: float = 0.0
) -> Iterator[Hold]:
    """Hold one lock during the block.

    The same thread and context may enter again for the same lock and gets the same hold, without a
    statement. Any other context or thread is refused.

    Args:
        wait_seconds: how long to queue, in order of arrival, while another request holds the lock.

    Raises:
        LockHeld: another request still holds the lock after `wait_seconds`.
        ClientGone: the client closed its connection while this request queued.
        LockLost: at the end of the block: the lease was lost before the work was done.
        Unavailable: the database cannot be reached; the lock was not taken, or it expires.
    """
    for outer in _entered.get():
        if outer.is_for(locks, kind, scope):
            outer.hold.assert_held()
            yield outer.hold
            return
    held = _take(locks, _request(locks, kind, scope, origin), origin.client, wait_seconds)
    bind_log_context(lock_id=held.lease.id)
    _entered.set((*_entered.get(), _Entered(locks, threading.get_ident(), held)))
    started = time.monotonic()
    metrics.LOCKS_HELD.labels(kind.name).inc()
    try:
        yield held
    except BaseException:
        _release(locks, held)
        raise
    else:
        if not _release(locks, held):
            held.mark_lost()
        if held.lost:
            raise LockLost(f"the {kind.name} lock on {scope} was lost before the work was done")
    finally:
        # Not reset by a ContextVar token: blocks may end in another order than they began.
        _entered.set(tuple(entered for entered in _entered.get() if entered.hold is not held))
        metrics.LOCKS_HELD.labels(kind.name).dec()
        metrics.LOCK_HOLD_SECONDS.labels(kind.name).observe(time.monotonic() - started)


@contextmanager
def holding(
    locks: Locks, kind: LockKind, scope: str, origin: RequestOrigin, held: Hold | None = None
) -> Iterator[Hold]:
    """Yield the given hold, or else take the lock for the length of the block.

    Raises:
        ValueError: the given hold is of another lock.
        LockHeld: another request holds the lock.
        LockLost: the lease of the given hold is lost; or, at the end of the block, the new lease
            was lost.
        Unavailable: the database cannot be reached.
    """
    if held is None:
        with hold(locks, kind, scope, origin) as taken:
            yield taken
        return
    if (held.lease.kind, held.lease.scope) != (kind, scope):
        raise ValueError(f"a hold of {held.lease.scope} is none of {scope}")
    held.assert_held()
    yield held


@contextmanager
def guarded(
    database: Database, held: Hold, guard: Callable[[Connection, Lease], None] = store.guard
) -> Iterator[Connection]:
    """Open a transaction that commits only while `held` is current: for every write under a lock.

    Several may be open at once under one hold, in different threads; the lease is renewed
    meanwhile, however long they take.

    Args:
        guard: first statement of the transaction: `store.guard`, or one that also checks the work.

    Raises:
        LockLost: the lease is not current and unexpired, or its hold has ended; nothing was
            written.
        Unavailable: the database cannot be reached.
    """
    prepare_write(database, held)
    with database.begin() as conn:
        guard(conn, held.lease)
        yield conn


def prepare_write(database: Database, held: Hold) -> None:
    """Check the hold before a guarded write, and renew its lease if that is due.

    Raises:
        LockLost: the hold has ended, or its lease cannot be trusted any more.
    """
    held.assert_held()
    if held.renewal_is_due:
        _renew(database, held)


def lock_held(refusal: Refusal) -> LockHeld:
    """Build the error that names the holder and the time to try again."""
    seconds = max(0.0, refusal.remaining_seconds)
    held_by = (
        f"held by {refusal.caller}" if refusal.id else "cooling down after its holder was lost"
    )
    return LockHeld(
        f"the {refusal.kind.name} lock on {refusal.scope} is {held_by};"
        f" it ends in {seconds:.1f} s unless it is renewed",
        retry_after_seconds=seconds,
        extra={
            "lock": {
                "id": refusal.id,
                "kind": refusal.kind.name,
                "scope": refusal.scope,
                "holder": refusal.holder,
                "reference_id": refusal.reference_id,
                "acquired_at": refusal.acquired_at,
                "expires_at": refusal.expires_at,
                "expires_in_seconds": round(seconds, 3),
            }
        },
    )


@dataclass(frozen=True)
class _Entered:
    """A hold and the thread that may enter it again; a copied context elsewhere may not."""

    locks: Locks
    thread: int
    hold: Hold

    def is_for(self, locks: Locks, kind: LockKind, scope: str) -> bool:
        lease = self.hold.lease
        mine = self.locks is locks and self.thread == threading.get_ident()
        # A context copied inside the block may outlive the block.
        return mine and not self.hold.ended and (lease.kind, lease.scope) == (kind, scope)


def _renew(database: Database, held: Hold) -> None:
    """Renew a due lease before a write: the keeper's renewals may be late.

    A failed renewal does not refuse the write; the guard decides.
    """
    sent_at = clock.now()
    try:
        with database.connect() as conn:
            left = store.renew(conn, [(held.lease, held.lease_seconds)])
    except Unavailable:
        metrics.LOCK_RENEWALS_FAILED.inc()
        return
    # A missing id means that the lease is lost; the guard is about to refuse it.
    seconds = left.get(held.lease.id)
    if seconds is not None:
        held.trust(sent_at, seconds)


def _request(locks: Locks, kind: LockKind, scope: str, origin: RequestOrigin) -> LockRequest:
    return LockRequest(
        id=new_id(),
        kind=kind,
        scope=scope,
        caller=origin.caller,
        holder=locks.holder,
        reference_id=origin.reference_id,
        lease_seconds=locks.lease_seconds,
    )


def _take(locks: Locks, request: LockRequest, client: Client, wait_seconds: float) -> Hold:
    # The keeper starts first: a lock without renewal would block its scope until the lease expires.
    locks.keeper.start()
    taken = _try_acquire(locks, request)
    if isinstance(taken, Refusal) and wait_seconds > 0:
        taken = _wait(locks, request, taken, client, wait_seconds)
    if isinstance(taken, Refusal):
        metrics.LOCKS_REFUSED.labels(request.kind.name).inc()
        raise lock_held(taken)
    metrics.LOCKS_GRANTED.labels(request.kind.name).inc()
    # Create the series with the first grant: rate() misses a counter that starts at 1.
    metrics.LOCKS_LOST.labels(request.kind.name)
    try:
        locks.keeper.add(taken)
    except Unavailable:
        _release(locks, taken)
        raise
    return taken


def _try_acquire(locks: Locks, request: LockRequest) -> Hold | Refusal:
    """Send the request; return the hold, or the refusal."""
    # The time when the statement is sent: a lease is trusted from then on.
    sent_at, taken = _send(locks, lambda conn: (clock.now(), store.acquire(conn, request)))
    return Hold(taken, sent_at, request.lease_seconds) if isinstance(taken, Lease) else taken


def _send(locks: Locks, statement: Callable[[Connection], _T]) -> _T:
    """Send a statement, and once more if there is no answer; the request's id makes that safe."""
    try:
        with locks.database.connect() as conn:
            return statement(conn)
    except Unavailable:
        with locks.database.connect() as conn:
            return statement(conn)


def _wait(
    locks: Locks, request: LockRequest, refusal: Refusal, client: Client, wait_seconds: float
) -> Hold | Refusal:
    """Queue in order of arrival until granted, the deadline, or the client is gone."""
    deadline = time.monotonic() + wait_seconds
    taken: Hold | Refusal = refusal
    with locks.queue.waiter_slot(request.id) as waiter:
        if waiter is None:
            return refusal
        metrics.LOCKS_WAITED.labels(request.kind.name).inc()
        try:
            _queue(locks, request, deadline)
            taken = _try_acquire(locks, request)
            while isinstance(taken, Refusal) and until(deadline) > 0 and not locks.shutdown.begun:
                locks.queue.poll_within(taken.remaining_seconds + 0.01)
                _wait_for_wake(locks, waiter, client, deadline)
                if not waiter.has_place:
                    _queue(locks, request, deadline)
                    waiter.has_place = True
                taken = _try_acquire(locks, request)
        finally:
            # A granted request is no longer in the queue.
            if isinstance(taken, Refusal):
                with locks.database.connect() as conn:
                    store.leave(conn, request.id)
        if isinstance(taken, Refusal):
            # The request may have been granted the lock just before it left the queue.
            taken = _try_acquire(locks, request)
    if isinstance(taken, Hold):
        waited = wait_seconds - (deadline - time.monotonic())
        metrics.LOCK_WAIT_SECONDS.labels(request.kind.name).observe(waited)
    return taken


def _wait_for_wake(locks: Locks, waiter: Waiter, client: Client, deadline: float) -> None:
    """Wait until another attempt makes sense; also return at the deadline and at shutdown."""
    with client.waiting(waiter.wake.set):
        while not waiter.wake.wait(min(until(deadline), _SHUTDOWN_CHECK_SECONDS)):
            if until(deadline) == 0 or locks.shutdown.begun:
                break
    waiter.wake.clear()
    check_connected(client)


def _queue(locks: Locks, request: LockRequest, deadline: float) -> None:
    # One second more, so that a grant just before the deadline is still used.
    _send(locks, lambda conn: store.wait(conn, request, until(deadline) + 1))


def _release(locks: Locks, held: Hold) -> bool:
    """Release; return False if the lease is known to have been lost before.

    A release without an answer must not hide the result of the work: the lease expires.
    """
    # First, so that no guarded write begins while the release is under way.
    held.end()
    locks.keeper.remove(held)
    for last in (False, True):
        try:
            with locks.database.connect() as conn:
                return store.release(conn, held.lease, locks.holder) == "released"
        except StagingApiError as error:
            if last:
                metrics.LOCK_RELEASES_FAILED.inc()
                log.warning("release of lock %s had no answer: %s", held.lease.id, error)
    return True
