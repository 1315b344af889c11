"""Keeps the leases of this process alive, and tells their holders when one is lost.

One thread for all leases. Every third of a lease it renews all of them in one statement; the
statement runs in a second thread, so that a database that does not answer cannot keep the first
from noticing that trust has run out.

A holder trusts its lease by its own monotonic clock: from the moment the last successful call
*began*, for what the database said was left, less a margin. A renewal without an answer extends
nothing. So whatever happens to the clock of either machine, the holder stops trusting before the
database lets anybody else in.

What if it dies? The process: nothing is renewed, the leases run out, the database grants them to
others. Only these threads (the interpreter is out of memory): the same, and each hold turns itself
lost when its trust runs out, as `Hold.assert_held` compares clocks by itself. Frozen and continued:
the first thing each hold does is to look at the clock; and should it not, `store.guard` refuses.
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from staging_api import metrics
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
        """Trust `lease`, asked for at monotonic time `asked_at`, as long as it may be trusted."""
        self.lease = lease
        self.lease_seconds = lease_seconds
        self._lost = False
        self._telling = threading.Lock()
        self._told: list[Callable[[], None]] = []
        self.trust(asked_at, lease.remaining_seconds)

    def trust(self, asked_at: float, remaining_seconds: float) -> None:
        """Trust the lease for what was left of it when the call that began at `asked_at` ended."""
        self.trusted_until = asked_at + remaining_seconds * (1 - _MARGIN)
        self.renew_at = asked_at + min(remaining_seconds, self.lease_seconds) / 3

    @property
    def lost(self) -> bool:
        """Whether the lease can no longer be trusted."""
        return self._lost or time.monotonic() >= self.trusted_until

    @property
    def renewal_is_due(self) -> bool:
        """Whether a third of what was left of the lease is over."""
        return time.monotonic() >= self.renew_at

    def assert_held(self) -> None:
        """Go on only while the lease can be trusted.

        Raises:
            LockLost: it cannot; stop, and write nothing.
        """
        if self.lost:
            raise LockLost(
                f"the {self.lease.kind.name} lock on {self.lease.scope} was lost while it was held"
            )

    def on_lost(self, tell: Callable[[], None]) -> None:
        """Call `tell` once, from any thread, should the lease be lost or have been."""
        with self._telling:
            if not self._lost:
                self._told.append(tell)
                return
        tell()

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
        self._thread: threading.Thread | None = None
        self._renewer = ThreadPoolExecutor(1, "lease-renewal")
        self._renewing = False
        self._closed = False
        self._looks_at = math.inf

    def add(self, hold: Hold) -> None:
        """Keep `hold` alive from now on."""
        with self._changed:
            self._holds[hold.lease.id] = hold
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="lease-keeper", daemon=True)
                self._thread.start()
            # Else it would be woken by each request, to find that nothing is due.
            if hold.renew_at < self._looks_at:
                self._looks_at = hold.renew_at
                self._changed.notify()

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
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()
        self._renewer.shutdown()
        self._database.close()

    def _run(self) -> None:
        with self._changed:
            while not self._closed:
                now = time.monotonic()
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
        due = any(hold.renew_at <= now for hold in self._holds.values())
        if due and not self._renewing:
            self._renewing = True
            self._renewer.submit(self._renew, list(self._holds.values()))

    def _next_look(self) -> float:
        """The monotonic time when something must be looked at; infinite while nothing is held."""
        ends = [hold.trusted_until for hold in self._holds.values()]
        if not self._renewing:
            ends += [hold.renew_at for hold in self._holds.values()]
        return min(ends, default=math.inf)

    def _renew(self, holds: list[Hold]) -> None:
        asked_at = time.monotonic()
        try:
            with self._database.connect() as conn:
                left = store.renew(conn, [(hold.lease, hold.lease_seconds) for hold in holds])
        except Exception as error:  # noqa: BLE001 - whatever it is, the next try may succeed
            metrics.LOCK_RENEWALS_FAILED.inc()
            log.warning("renewal of %d locks had no answer: %s", len(holds), error)
            left = None
        with self._changed:
            self._renewing = False
            for hold in holds:
                if left is None:
                    hold.renew_at = time.monotonic() + self._retry_seconds
                elif hold.lease.id in left:
                    self._note_if_late(hold)
                    hold.trust(asked_at, left[hold.lease.id])
                elif self._holds.pop(hold.lease.id, None) is not None:
                    hold.mark_lost()
            self._changed.notify()

    def _note_if_late(self, hold: Hold) -> None:
        if hold.trusted_until - time.monotonic() < hold.lease_seconds / 3:
            metrics.LOCK_RENEWALS_LATE.inc()
