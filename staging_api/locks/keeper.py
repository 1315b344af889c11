"""Keep the leases of this process alive and notify their holds when one is lost.

One thread watches all leases. Every third of a lease it starts a renewal of all by one statement.
The statement runs in a second thread, so that a database that does not answer cannot keep the first
thread from noticing that a lease can no longer be trusted. Both threads run before the first lock
is acquired.

A hold trusts its lease by the clock of its own machine: from the moment the last successful call
*began*, for the remaining time that the database returned, less a margin. Only a lease that was
extended counts as renewed; a lease without an answer, or whose row another transaction had locked,
stays due. So whatever happens to either clock, the hold stops trusting its lease before the
database grants the scope to another process.

What if the process dies? Nothing is renewed, the leases expire, and the database grants the scopes
to others. What if one of these threads dies? The next lock starts the thread again before anything
else, ``/livez`` fails until then, and each hold becomes lost when its trust ends, as
`Hold.assert_held` compares clocks itself. What if the process is frozen and continued, or the
machine suspended? Each hold checks the clock first, and `store.guard` refuses a write otherwise.
"""

import logging
import math
import threading
from collections.abc import Callable, Mapping

from staging_api import clock, metrics
from staging_api.background import BackgroundThread
from staging_api.db.engine import Database
from staging_api.errors import LockLost
from staging_api.locks import store
from staging_api.locks.model import Lease

log = logging.getLogger(__name__)

# Part of the lease that the holder leaves unused, as clocks may run at different speeds.
_MARGIN = 0.1


class Hold:
    """A lease while it is held: proof for the database, and trust for this process."""

    def __init__(self, lease: Lease, sent_at: float, lease_seconds: float) -> None:
        """Trust `lease`, whose request was sent at `clock.now` time `sent_at`."""
        self.lease = lease
        self.lease_seconds = lease_seconds
        #: After a failed renewal, the keeper does not try again before this time.
        self.retry_at = -math.inf
        self._lost = False
        self._ended = False
        self._mutex = threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self.trust(sent_at, lease.remaining_seconds)

    def trust(self, sent_at: float, remaining_seconds: float) -> None:
        """Trust the lease for its remaining time, counted from `sent_at`, when the call began."""
        self.trusted_until = sent_at + remaining_seconds * (1 - _MARGIN)
        self.renew_at = sent_at + min(remaining_seconds, self.lease_seconds) / 3

    @property
    def lost(self) -> bool:
        """Whether the lease was lost, or can no longer be trusted."""
        return self._lost or clock.now() >= self.trusted_until

    @property
    def ended(self) -> bool:
        """Whether the block that held the lock is over; its work must not continue."""
        return self._ended

    @property
    def renewal_is_due(self) -> bool:
        """Whether a third of the remaining lease has passed."""
        return clock.now() >= self.renew_at

    def assert_held(self) -> None:
        """Check that the lease can still be trusted.

        Raises:
            LockLost: it cannot be trusted; stop, and write nothing.
        """
        if self._ended and not self._lost:
            raise LockLost(
                f"the {self.lease.kind.name} lock on {self.lease.scope} is no longer held here:"
                " the block that held it has ended"
            )
        if self.lost:
            raise LockLost(
                f"the {self.lease.kind.name} lock on {self.lease.scope} was lost while it was held"
            )

    def on_lost(self, callback: Callable[[], None]) -> None:
        """Call `callback` once, from any thread, when the lease is lost; now if it has ended."""
        with self._mutex:
            if not (self._lost or self._ended):
                self._callbacks.append(callback)
                return
        callback()

    def end(self) -> None:
        """Mark the lock as about to be released: guarded writes are refused from now on."""
        with self._mutex:
            self._ended = True

    def mark_lost(self) -> None:
        """Mark the lease lost and call the callbacks; a second call does nothing."""
        with self._mutex:
            if self._lost:
                return
            self._lost = True
        metrics.LOCKS_LOST.labels(self.lease.kind.name).inc()
        log.warning("lock lost: %s %s %s", self.lease.kind.name, self.lease.scope, self.lease.id)
        # Outside of the mutex, which a callback may need (`on_lost`, `end`).
        for callback in self._callbacks:
            try:
                callback()
            except Exception:
                log.exception("a listener for a lost lock failed")


class LeaseKeeper:
    """Renews every hold from `add` to `remove`."""

    def __init__(self, database: Database, retry_seconds: float = 0.5) -> None:
        """Start no thread yet: a process may fork before it holds its first lock.

        Args:
            database: pool for renewals only, so that they never queue behind requests for a
                connection; closed with the keeper.
            retry_seconds: pause between a failed renewal and the next.
        """
        self._database = database
        self._retry_seconds = retry_seconds
        self._holds: dict[str, Hold] = {}
        self._changed = threading.Condition()
        self._to_renew: list[Hold] | None = None
        self._closed = False
        self._looks_at = math.inf
        self._threads = (
            BackgroundThread("lease-keeper", self._run),
            BackgroundThread("lease-renewal", self._run_renewals),
        )

    def start(self) -> None:
        """Start the threads, before a lock is acquired that depends on them.

        Raises:
            Unavailable: this process can start no thread just now.
        """
        for thread in self._threads:
            thread.ensure()

    def check(self) -> None:
        """Check that both threads run.

        Raises:
            Unavailable: one of them does not run.
        """
        for thread in self._threads:
            thread.check()
        self._database.check()

    def add(self, hold: Hold) -> None:
        """Keep `hold` alive from now on.

        Raises:
            Unavailable: a thread is missing, and this process can start none just now.
        """
        self.start()
        with self._changed:
            self._holds[hold.lease.id] = hold
            # Wake the thread only for an earlier renewal: otherwise each request would wake it for
            # nothing.
            if hold.renew_at < self._looks_at:
                self._looks_at = hold.renew_at
                self._changed.notify_all()

    def remove(self, hold: Hold) -> None:
        """Stop renewing `hold`, before it is released."""
        with self._changed:
            self._holds.pop(hold.lease.id, None)

    def holds(self) -> list[Hold]:
        """Return the holds that are kept alive now."""
        with self._changed:
            return list(self._holds.values())

    def close(self) -> None:
        """Stop the threads and close the connection; remaining leases expire."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._database.close()

    def _run(self) -> None:
        with self._changed:
            if self._looks_at <= clock.now():  # left by a run that failed
                self._looks_at = math.inf
            self._changed.wait_for(lambda: self._closed or self._holds or self._looks_at < math.inf)
            while not self._closed:
                now = clock.now()
                for hold in [h for h in self._holds.values() if h.lost]:
                    del self._holds[hold.lease.id]
                    hold.mark_lost()
                self._start_renewal(now)
                # Keep a planned check even if its lock was released: otherwise the next lock,
                # however short, would have to wake this thread again.
                planned = self._looks_at if self._looks_at > now else math.inf
                self._looks_at = min(planned, self._next_look())
                self._changed.wait(min(self._looks_at - now, threading.TIMEOUT_MAX))

    def _start_renewal(self, now: float) -> None:
        due = any(_due_at(hold) <= now for hold in self._holds.values())
        if due and self._to_renew is None:
            self._to_renew = list(self._holds.values())
            self._changed.notify_all()

    def _next_look(self) -> float:
        """Return the time of the next renewal or end of trust; infinite while nothing is held."""
        ends = [hold.trusted_until for hold in self._holds.values()]
        if self._to_renew is None:
            ends += [_due_at(hold) for hold in self._holds.values()]
        return min(ends, default=math.inf)

    def _run_renewals(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or self._to_renew is not None)
                if self._closed:
                    return
                holds = self._to_renew or []
            try:
                self._renew(holds)
            finally:
                with self._changed:
                    self._to_renew = None
                    self._changed.notify_all()

    def _renew(self, holds: list[Hold]) -> None:
        sent_at = clock.now()
        try:
            with self._database.connect() as conn:
                left = store.renew(conn, [(hold.lease, hold.lease_seconds) for hold in holds])
        except Exception as error:  # noqa: BLE001 - the next try may succeed
            metrics.LOCK_RENEWALS_FAILED.inc()
            log.warning("renewal of %d locks had no answer: %s", len(holds), error)
            left = dict.fromkeys(hold.lease.id for hold in holds)
        with self._changed:
            for hold in holds:
                self._note(hold, left, sent_at)

    def _note(self, hold: Hold, left: Mapping[str, float | None], sent_at: float) -> None:
        if hold.lease.id not in left:
            if self._holds.pop(hold.lease.id, None) is not None:
                hold.mark_lost()
            return
        seconds = left[hold.lease.id]
        if seconds is None:
            hold.retry_at = clock.now() + self._retry_seconds
            return
        if hold.trusted_until - clock.now() < hold.lease_seconds / 3:
            metrics.LOCK_RENEWALS_LATE.inc()
        hold.trust(sent_at, seconds)


def _due_at(hold: Hold) -> float:
    return max(hold.renew_at, hold.retry_at)
