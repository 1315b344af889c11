"""Keeps the leases of this process alive, and tells their holders when one is lost.

One thread looks at all leases. Every third of a lease it has all of them renewed in one statement;
the statement runs in a second thread, so that a database that does not answer cannot keep the first
from noticing that trust has run out. Both threads run before the first lock is acquired.

A holder trusts its lease by a clock of its own: from the moment the last successful call *began*,
for what the database said was left, less a margin. Only a lease that was really extended counts as
renewed; one without an answer, or whose row another had locked just then, stays due. So whatever
happens to the clock of either machine, the holder stops trusting before the database lets anybody
else in.

What if it dies? The process: nothing is renewed, the leases run out, the database grants them to
others. Only one of these threads: the next lock starts it again before it asks for anything, and
``/livez`` fails until then; each hold turns itself lost when its trust runs out, as
`Hold.assert_held` compares clocks by itself. Frozen and continued, the machine suspended: the first
thing each hold does is to look at the clock; and should it not, `store.guard` refuses.
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

# Of the lease: what the holder leaves unused at its end, against clocks that run at unlike speed.
_MARGIN = 0.1


class Hold:
    """A lease while it is held: proof for the database, and trust for this process."""

    def __init__(self, lease: Lease, asked_at: float, lease_seconds: float) -> None:
        """Trust `lease`, asked for at `clock.now` time `asked_at`, as long as it may be trusted."""
        self.lease = lease
        self.lease_seconds = lease_seconds
        #: Not to be renewed by the keeper before; its last try was in vain.
        self.retry_at = -math.inf
        self._lost = False
        self._ended = False
        self._telling = threading.Lock()
        self._told: list[Callable[[], None]] = []
        self.trust(asked_at, lease.remaining_seconds)

    def trust(self, asked_at: float, remaining_seconds: float) -> None:
        """Trust the lease for what was left of it when the call that began at `asked_at` ended."""
        self.trusted_until = asked_at + remaining_seconds * (1 - _MARGIN)
        self.renew_at = asked_at + min(remaining_seconds, self.lease_seconds) / 3

    @property
    def lost(self) -> bool:
        """Whether the lease was lost, or can no longer be trusted."""
        return self._lost or clock.now() >= self.trusted_until

    @property
    def ended(self) -> bool:
        """Whether the block that held the lock is over; nothing is done under it any more."""
        return self._ended

    @property
    def renewal_is_due(self) -> bool:
        """Whether a third of what was left of the lease is over."""
        return clock.now() >= self.renew_at

    def assert_held(self) -> None:
        """Go on only while the lease can be trusted.

        Raises:
            LockLost: it cannot; stop, and write nothing.
        """
        if self._ended and not self._lost:
            raise LockLost(
                f"the {self.lease.kind.name} lock on {self.lease.scope} is no longer held here:"
                " the block that held it is over"
            )
        if self.lost:
            raise LockLost(
                f"the {self.lease.kind.name} lock on {self.lease.scope} was lost while it was held"
            )

    def on_lost(self, tell: Callable[[], None]) -> None:
        """Call `tell` once, from any thread, should the lease be lost; at once if it is over."""
        with self._telling:
            if not (self._lost or self._ended):
                self._told.append(tell)
                return
        tell()

    def end(self) -> None:
        """The lock is about to be released: `assert_held` and guarded writes refuse from now on."""
        with self._telling:
            self._ended = True

    def mark_lost(self) -> None:
        """Tell everybody that the lease is gone; the second call does nothing."""
        with self._telling:
            if self._lost:
                return
            self._lost = True
        metrics.LOCKS_LOST.labels(self.lease.kind.name).inc()
        log.warning("lock lost: %s %s %s", self.lease.kind.name, self.lease.scope, self.lease.id)
        for tell in self._told:
            try:
                tell()
            except Exception:
                log.exception("a listener for a lost lock failed")


class LeaseKeeper:
    """Renews every hold that was added until it is removed."""

    def __init__(self, database: Database, retry_seconds: float = 0.5) -> None:
        """Start no thread yet: a process may fork before it holds its first lock.

        Args:
            database: for renewals alone, so that they never queue behind requests for a
                connection; closed with the keeper.
            retry_seconds: from a renewal without an answer to the next.
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
        """Have the threads running, before a lock is acquired that depends on them.

        Raises:
            Unavailable: this process can start no thread just now.
        """
        for thread in self._threads:
            thread.ensure()

    def check(self) -> None:
        """Refuse a keeper without its threads.

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
            # Else it would be woken by each request, to find that nothing is due.
            if hold.renew_at < self._looks_at:
                self._looks_at = hold.renew_at
                self._changed.notify_all()

    def remove(self, hold: Hold) -> None:
        """Stop renewing `hold`, before it is released."""
        with self._changed:
            self._holds.pop(hold.lease.id, None)

    def holds(self) -> list[Hold]:
        """What is kept alive now."""
        with self._changed:
            return list(self._holds.values())

    def close(self) -> None:
        """Stop the threads and close the connection; holds that are left run out."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._database.close()

    def _run(self) -> None:
        with self._changed:
            if self._looks_at <= clock.now():  # planned by a run of this that failed
                self._looks_at = math.inf
            self._changed.wait_for(lambda: self._closed or self._holds or self._looks_at < math.inf)
            while not self._closed:
                now = clock.now()
                for hold in [h for h in self._holds.values() if h.lost]:
                    del self._holds[hold.lease.id]
                    hold.mark_lost()
                self._start_renewal(now)
                # A look that is planned takes place, though its lock be released by that: else the
                # next lock, however short, would have to wake this thread again.
                planned = self._looks_at if self._looks_at > now else math.inf
                self._looks_at = min(planned, self._next_look())
                self._changed.wait(min(self._looks_at - now, threading.TIMEOUT_MAX))

    def _start_renewal(self, now: float) -> None:
        due = any(_due_at(hold) <= now for hold in self._holds.values())
        if due and self._to_renew is None:
            self._to_renew = list(self._holds.values())
            self._changed.notify_all()

    def _next_look(self) -> float:
        """The time when something must be looked at; infinite while nothing is held."""
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
        asked_at = clock.now()
        try:
            with self._database.connect() as conn:
                left = store.renew(conn, [(hold.lease, hold.lease_seconds) for hold in holds])
        except Exception as error:  # noqa: BLE001 - whatever it is, the next try may succeed
            metrics.LOCK_RENEWALS_FAILED.inc()
            log.warning("renewal of %d locks had no answer: %s", len(holds), error)
            left = dict.fromkeys(hold.lease.id for hold in holds)
        with self._changed:
            for hold in holds:
                self._note(hold, left, asked_at)

    def _note(self, hold: Hold, left: Mapping[str, float | None], asked_at: float) -> None:
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
        hold.trust(asked_at, seconds)


def _due_at(hold: Hold) -> float:
    return max(hold.renew_at, hold.retry_at)
