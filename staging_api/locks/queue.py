"""Wait for a lock: a waiter slot in this process, woken by NOTIFY, with polling as the fallback.

One connection listens for the whole process, directly to the server (a transaction pooler keeps no
LISTEN). A notification is only a hint to try again. In case a notification is lost, or the listener
is down, one statement every `POLL_SECONDS`, for all waiters of the process, finds out which of them
should try. The same statement shows other processes that these waiters live. So a waiter costs the
database only its share of that statement.

What if the waiting process dies? Its row in ``lock_waiters`` is skipped once it has not been seen
for 6 s, and deleted by `store.record_expired`. If the lock was just granted to it, that lease is a
short one. What if the listener's connection breaks? It is opened again, and the waiters are polled
at once. What if a statement of the poll fails? The next one follows, and each waiter tries at its
deadline.
"""

import logging
import selectors
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field

import psycopg2
from sqlalchemy import make_url

from staging_api.background import BackgroundThread
from staging_api.db.engine import Database
from staging_api.db.sessions import Session, connect
from staging_api.errors import StagingApiError, Unavailable
from staging_api.locks import store
from staging_api.locks.model import WaitingPlace

log = logging.getLogger(__name__)

#: Interval of the poll: a third of the time after which a waiter counts as dead.
POLL_SECONDS = 2.0
# Interval of the next poll after a waiter of a free scope was woken: that waiter may have gone.
_FREE_SECONDS = 0.5
_LEAST_SECONDS = 0.05
_CHANNEL = "staging_locks"


@dataclass(eq=False)
class Waiter:
    """A request that waits for a lock.

    Attributes:
        wake: set when the request should try to get the lock.
        has_place: False if the last poll did not find its row: it was granted the lock, or lost its
            place.
    """

    wake: threading.Event = field(default_factory=threading.Event)
    has_place: bool = True


class WaitQueue:
    """The waiters of this process, woken by a listener and a poll."""

    def __init__(
        self, database: Database, direct_url: str, waiter_slots: threading.Semaphore
    ) -> None:
        """Start no thread yet: a process may fork before its first waiter.

        Args:
            database: pool for the poll.
            direct_url: URL of the same database, without a transaction pooler.
            waiter_slots: shared by all requests of this process that park a thread.
        """
        url = make_url(direct_url).set(drivername="postgresql")
        self._session = Session(url.render_as_string(hide_password=False), {})
        self._database = database
        self._waiter_slots = waiter_slots
        self._waiters: dict[str, Waiter] = {}
        self._changed = threading.Condition()
        self._poll_at = 0.0
        self._closed = threading.Event()
        self._listener = BackgroundThread("lock-listener", self._listen)
        self._poll = BackgroundThread("lock-poll", self._poll_all)

    @contextmanager
    def waiter_slot(self, waiter_id: str) -> Iterator[Waiter | None]:
        """Take a waiter slot for the block, in which the poll covers `waiter_id`.

        Yields None when every slot is taken: parked requests must never use up the threads that
        other requests need.

        Raises:
            Unavailable: this process can start no thread just now.
        """
        if not self._waiter_slots.acquire(blocking=False):
            yield None
            return
        waiter = Waiter()
        try:
            self._poll.ensure()
            # Without a listener, the poll finds the same grants; the next waiter tries to start the
            # listener again.
            with suppress(Unavailable):
                self._listener.ensure()
            with self._changed:
                if not self._waiters:
                    self._poll_at = time.monotonic() + POLL_SECONDS
                    self._changed.notify_all()
                self._waiters[waiter_id] = waiter
            yield waiter
        finally:
            with self._changed:
                self._waiters.pop(waiter_id, None)
            self._waiter_slots.release()

    def poll_within(self, seconds: float) -> None:
        """Poll after at most `seconds`, when a lease on an awaited scope ends."""
        with self._changed:
            poll_at = time.monotonic() + max(_LEAST_SECONDS, seconds)
            if poll_at < self._poll_at:
                self._poll_at = poll_at
                self._changed.notify_all()

    def close(self) -> None:
        """Stop listening and polling."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
        self._poll.join()
        self._listener.join()

    def check(self) -> None:
        """Check that the threads run, if they are needed.

        Raises:
            Unavailable: names the thread that does not run.
        """
        self._poll.check()
        self._listener.check()

    def _poll_all(self) -> None:
        while ids := self._when_due():
            began = time.monotonic()
            try:
                with self._database.connect() as conn:
                    places = store.poll_waiters(conn, ids)
            except StagingApiError as error:
                # `_when_due` has planned the next poll, so the loop does not spin.
                log.warning("the poll for %d waiters for locks failed: %s", len(ids), error)
                continue
            self._wake(set(ids).difference(place.id for place in places), has_place=False)
            free = _first_of_free(places)
            self._wake(free, has_place=True)
            soonest = min(
                (p.held_seconds for p in places if p.held_seconds > 0), default=POLL_SECONDS
            )
            # The poll of many waiters takes longer; limit it to a fifth of the time.
            least = 4 * (time.monotonic() - began)
            self.poll_within(
                max(least, min(soonest + 0.01, _FREE_SECONDS if free else POLL_SECONDS))
            )

    def _when_due(self) -> list[str]:
        """Wait for the next poll; return the waiters, or an empty list once closed."""
        with self._changed:
            while not self._closed.is_set():
                left = until(self._poll_at)
                if self._waiters and left == 0:
                    self._poll_at = time.monotonic() + POLL_SECONDS
                    return list(self._waiters)
                self._changed.wait(left if self._waiters else None)
            return []

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._listen_once()
            except (psycopg2.Error, OSError, Unavailable) as error:
                log.warning("the lock listener lost its connection: %s", error)
                self._closed.wait(POLL_SECONDS)

    def _listen_once(self) -> None:
        with closing(connect(self._session.url, **self._session.arguments)) as conn:
            conn.autocommit = True
            self._session.check(conn)
            with conn.cursor() as cursor:
                cursor.execute(f"LISTEN {_CHANNEL}")
            # A request that queued before LISTEN took effect may have missed its notification.
            self.poll_within(0)
            # Not select(): it fails once a busy process has a thousand descriptors open.
            with selectors.DefaultSelector() as ready:
                ready.register(conn, selectors.EVENT_READ)
                while not self._closed.is_set():
                    # This time-out limits how late `close` is noticed.
                    ready.select(0.5)
                    conn.poll()
                    while conn.notifies:
                        self._wake([conn.notifies.pop(0).payload], has_place=True)

    def _wake(self, ids: Iterable[str], *, has_place: bool) -> None:
        with self._changed:
            for waiter in filter(None, map(self._waiters.get, ids)):
                waiter.has_place = has_place
                waiter.wake.set()


def until(deadline: float) -> float:
    """Return the seconds until the monotonic time `deadline`, never negative."""
    return max(0.0, deadline - time.monotonic())


def _first_of_free(places: Sequence[WaitingPlace]) -> list[str]:
    """Return the first of these waiters for each free lock.

    The database decides which waiter gets the lock: another process may have an earlier one.
    """
    free: dict[tuple[str, str], str] = {}
    for place in places:
        if place.held_seconds <= 0:
            free.setdefault((place.kind, place.scope), place.id)
    return list(free.values())
