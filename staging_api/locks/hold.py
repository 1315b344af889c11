"""THE place where a lock is taken: `hold` acquires, keeps alive and releases.

What if the process dies? Before `store.acquire` commits: nothing happened. After it, at any point:
the lease is no longer renewed, runs out, and the next who asks is granted the scope with a higher
fence; the row in ``api_locks`` gets the outcome ``superseded`` (or ``expired``). In
`store.release`: released or not, both are whole. Frozen past its lease and continued: `assert_held`
and every guarded write refuse, and the answer is `LockLost`, never a silent success.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

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

log = logging.getLogger(__name__)

# A process that is told to end lets go who waits; nothing else rings then.
_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Locks:
    """What a process needs to hold locks; made once, after any fork.

    Attributes:
        holder: this process, as ``api_locks.holder`` says it.
        lease_seconds: life of a lease that is not renewed.
        shutdown: once it has begun, nobody waits here for a lock any longer.
    """

    database: Database
    keeper: LeaseKeeper
    queue: WaitQueue
    holder: str
    lease_seconds: float
    shutdown: Shutdown = field(default_factory=Shutdown)

    def check(self) -> None:
        """Refuse a process that cannot keep its leases alive; for ``/livez``.

        Raises:
            Unavailable: says which thread does not run.
        """
        self.keeper.check()
        self.queue.check()
        self.database.check()

    def give_back(self) -> None:
        """Release whatever is held still: its work is refused, and goes on elsewhere."""
        for held in self.keeper.holds():
            held.mark_lost()
            _release(self, held)

    def close(self) -> None:
        """Stop the threads; leases that are still held run out."""
        self.keeper.close()
        self.queue.close()


@dataclass(frozen=True)
class _Entered:
    """A hold, and who may enter it again: a copied context in another thread is another request."""

    locks: Locks
    thread: int
    hold: Hold

    def is_for(self, locks: Locks, kind: LockKind, scope: str) -> bool:
        lease = self.hold.lease
        mine = self.locks is locks and self.thread == threading.get_ident()
        # A context that was copied inside the block outlives it.
        return mine and not self.hold.ended and (lease.kind, lease.scope) == (kind, scope)


_held_here: ContextVar[tuple[_Entered, ...]] = ContextVar("held_here", default=())


@dataclass(frozen=True)
class RequestOrigin:
    """On whose behalf a lock is asked for.

    Attributes:
        turn_of: whose turn the work takes among callers; None: the caller's.
    """

    caller: str
    reference_id: str | None = None
    turn_of: str | None = None
    client: Client = field(default=ALWAYS_CONNECTED, compare=False, repr=False)


@contextmanager
def hold(
    locks: Locks, kind: LockKind, scope: str, origin: RequestOrigin, wait_seconds: float = 0.0
) -> Iterator[Hold]:
    """Hold one lock for the length of the block.

    In one context (one request, one thread) the block may be entered again for the same lock: it is
    the same hold, without a word to the database. Anybody else is refused.

    Args:
        wait_seconds: how long to queue, in order of arrival, should another hold it.

    Raises:
        LockHeld: another holds it, and still does after `wait_seconds`.
        ClientGone: the client closed its connection while this request queued.
        LockLost: at the end of the block: the lease was lost before the work was done.
        Unavailable: the database cannot be reached; the lock was not taken, or runs out by itself.
    """
    for outer in _held_here.get():
        if outer.is_for(locks, kind, scope):
            outer.hold.assert_held()
            yield outer.hold
            return
    held = _take(locks, _request(locks, kind, scope, origin), origin.client, wait_seconds)
    bind_log_context(lock_id=held.lease.id)
    _held_here.set((*_held_here.get(), _Entered(locks, threading.get_ident(), held)))
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
        # Not by a token: blocks need not end in the reverse order of their beginnings.
        _held_here.set(tuple(entered for entered in _held_here.get() if entered.hold is not held))
        metrics.LOCKS_HELD.labels(kind.name).dec()
        metrics.LOCK_HOLD_SECONDS.labels(kind.name).observe(time.monotonic() - started)


@contextmanager
def guarded(database: Database, held: Hold) -> Iterator[Connection]:
    """A transaction that commits only as the lock's holder: every write under a lock goes here.

    Several may be open at once under one hold, in threads of their own; the lease is renewed beside
    them, however long they take.

    Raises:
        LockLost: the lease is not current and unexpired, or its hold has ended; nothing was
            written.
        Unavailable: the database cannot be reached.
    """
    held.assert_held()
    if held.renewal_is_due:
        _renew(database, held)
    with database.begin() as conn:
        store.guard(conn, held.lease)
        yield conn


def _renew(database: Database, held: Hold) -> None:
    """Renew before a write whose lease is due: the keeper's renewals may be late.

    A renewal without an answer is no reason not to write: the guard decides.
    """
    asked_at = clock.now()
    try:
        with database.connect() as conn:
            left = store.renew(conn, [(held.lease, held.lease_seconds)])
    except Unavailable:
        metrics.LOCK_RENEWALS_FAILED.inc()
        return
    # If it is not among them it is lost, as the guard is about to say.
    seconds = left.get(held.lease.id)
    if seconds is not None:
        held.trust(asked_at, seconds)


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
    # First: a lock that nothing keeps alive would be held by nobody until it runs out.
    locks.keeper.start()
    taken = _ask(locks, request)
    if isinstance(taken, Refusal) and wait_seconds > 0:
        taken = _wait(locks, request, taken, client, wait_seconds)
    if isinstance(taken, Refusal):
        metrics.LOCKS_REFUSED.labels(request.kind.name).inc()
        raise lock_held(taken)
    metrics.LOCKS_GRANTED.labels(request.kind.name).inc()
    # Shown as 0 from the first grant on: a rate does not see a counter that begins with 1.
    metrics.LOCKS_LOST.labels(request.kind.name)
    try:
        locks.keeper.add(taken)
    except Unavailable:
        _release(locks, taken)
        raise
    return taken


def _ask(locks: Locks, request: LockRequest) -> Hold | Refusal:
    """One try, sent twice if the first had no answer: the id makes the second harmless."""
    for last in (False, True):
        asked_at = clock.now()
        try:
            with locks.database.connect() as conn:
                taken = store.acquire(conn, request)
        except Unavailable:
            if last:
                raise
        else:
            if isinstance(taken, Lease):
                return Hold(taken, asked_at, request.lease_seconds)
            return taken
    raise AssertionError("unreachable")


def _wait(
    locks: Locks, request: LockRequest, refusal: Refusal, client: Client, wait_seconds: float
) -> Hold | Refusal:
    """Queue in order of arrival until granted, until the time is over or the client is gone."""
    deadline = time.monotonic() + wait_seconds
    taken: Hold | Refusal = refusal
    with locks.queue.waiter_slot(request.id) as waiter:
        if waiter is None:
            return refusal
        metrics.LOCKS_WAITED.labels(request.kind.name).inc()
        try:
            _queue(locks, request, deadline)
            taken = _ask(locks, request)
            while isinstance(taken, Refusal) and until(deadline) > 0 and not locks.shutdown.begun:
                locks.queue.look_in(taken.remaining_seconds + 0.01)
                _wait_for_bell(locks, waiter, client, deadline)
                if not waiter.has_place:
                    _queue(locks, request, deadline)
                    waiter.has_place = True
                taken = _ask(locks, request)
        finally:
            # Whoever was handed the lock has left the queue by that.
            if isinstance(taken, Refusal):
                with locks.database.connect() as conn:
                    store.leave(conn, request.id)
        if isinstance(taken, Refusal):
            taken = _ask(locks, request)
    if isinstance(taken, Hold):
        waited = wait_seconds - (deadline - time.monotonic())
        metrics.LOCK_WAIT_SECONDS.labels(request.kind.name).observe(waited)
    return taken


def _wait_for_bell(locks: Locks, waiter: Waiter, client: Client, deadline: float) -> None:
    """Wait for a reason to ask; the deadline and the end of this process are such reasons, too."""
    with client.waiting(waiter.wake.set):
        while not waiter.wake.wait(min(until(deadline), _LOOK_SECONDS)):
            if until(deadline) == 0 or locks.shutdown.begun:
                break
    waiter.wake.clear()
    check_connected(client)


def _queue(locks: Locks, request: LockRequest, deadline: float) -> None:
    with locks.database.connect() as conn:
        # A second more: a hand-over just before the deadline is still taken up.
        store.wait(conn, request, until(deadline) + 1)


def _release(locks: Locks, held: Hold) -> bool:
    """Release, and say whether the lease was whole until then, as far as anybody knows.

    A release without an answer must not hide the result of the work: the lease runs out.
    """
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


def lock_held(refusal: Refusal) -> LockHeld:
    """The refusal as an error that says who holds the lock, and when to come back."""
    seconds = max(0.0, refusal.remaining_seconds)
    held_by = f"held by {refusal.caller}" if refusal.id else "at rest after its holder was lost"
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
