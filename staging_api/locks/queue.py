"""Waiting for a lock: a slot in this process, woken by a notification, with polling behind it.

One connection listens for the whole process, straight to the server (a transaction pooler keeps no
LISTEN). A notification is only a hint to ask at once. Should one be lost, or the listener be away,
one statement every `POLL_SECONDS`, for all waiters of the process, finds out who has reason to ask:
it also shows other processes that these waiters live. So a waiter costs the database nothing but
its share of that statement.

What if it dies? The waiting process: its row in ``lock_waiters`` is passed over once it has not
been seen for 6 s, and deleted by `store.note_expired`. If the lock was just handed to it, that
lease is a short one. The listener's connection: it is opened again, and the waiters are looked
after at once. A statement of the poll fails: the next one follows, and each waiter asks by itself
at its deadline.
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

#: How often the waiters of a process are looked after; a third of the time after which they are
#: thought dead.
POLL_SECONDS = 2.0
# A scope that is free, and whose first waiter was rung: that one may have gone just then.
_FREE_SECONDS = 0.5
_LEAST_SECONDS = 0.05
_CHANNEL = "staging_locks"


@dataclass(eq=False)
class Waiter:
    """A request that waits for a lock.

    Attributes:
        wake: set when the request has reason to ask for the lock.
        has_place: False if the database did not know of it when it was last looked after: the lock
            was handed to it, or its place is lost.
    """

    wake: threading.Event = field(default_factory=threading.Event)
    has_place: bool = True


class WaitQueue:
    """The waiters of this process."""

    def __init__(
        self, database: Database, direct_url: str, waiter_slots: threading.Semaphore
    ) -> None:
        """Start no thread yet: a process may fork before its first waiter.

        Args:
            database: for the poll.
            direct_url: of the same database, without a pooler in transaction mode.
            waiter_slots: shared by all requests of this process that park a thread.
        """
        url = make_url(direct_url).set(drivername="postgresql")
        self._session = Session(url.render_as_string(hide_password=False), {})
        self._database = database
        self._waiter_slots = waiter_slots
        self._waiters: dict[str, Waiter] = {}
        self._changed = threading.Condition()
        self._look_at = 0.0
        self._closed = threading.Event()
        self._listener = BackgroundThread("lock-listener", self._listen)
        self._poll = BackgroundThread("lock-poll", self._look_after_all)

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
            # Without a listener the poll finds what it would have heard; the next waiter tries to
            # start it again.
            with suppress(Unavailable):
                self._listener.ensure()
            with self._changed:
                if not self._waiters:
                    self._look_at = time.monotonic() + POLL_SECONDS
                    self._changed.notify_all()
                self._waiters[waiter_id] = waiter
            yield waiter
        finally:
            with self._changed:
                self._waiters.pop(waiter_id, None)
            self._waiter_slots.release()

    def look_in(self, seconds: float) -> None:
        """Look after the waiters in so many seconds, or sooner: a lease that is waited for ends."""
        with self._changed:
            look_at = time.monotonic() + max(_LEAST_SECONDS, seconds)
            if look_at < self._look_at:
                self._look_at = look_at
                self._changed.notify_all()

    def close(self) -> None:
        """Stop listening and polling."""
        with self._changed:
            self._closed.set()
            self._changed.notify_all()
        self._poll.join()
        self._listener.join()

    def check(self) -> None:
        """Refuse a queue that needs its threads and lacks one.

        Raises:
            Unavailable: says which does not run.
        """
        self._poll.check()
        self._listener.check()

    def _look_after_all(self) -> None:
        while ids := self._when_due():
            began = time.monotonic()
            try:
                with self._database.connect() as conn:
                    places = store.look_after(conn, ids)
            except StagingApiError as error:
                log.warning("%d waiters for locks were not looked after: %s", len(ids), error)
                continue
            self._ring(set(ids).difference(place.id for place in places), has_place=False)
            free = _first_of_free(places)
            self._ring(free, has_place=True)
            soonest = min(
                (p.held_seconds for p in places if p.held_seconds > 0), default=POLL_SECONDS
            )
            # Of many waiters less often, so that this takes a fifth of the time at most.
            least = 4 * (time.monotonic() - began)
            self.look_in(max(least, min(soonest + 0.01, _FREE_SECONDS if free else POLL_SECONDS)))

    def _when_due(self) -> list[str]:
        """Wait until the waiters are to be looked after; returns none when all of this ends."""
        with self._changed:
            while not self._closed.is_set():
                left = until(self._look_at)
                if self._waiters and left == 0:
                    self._look_at = time.monotonic() + POLL_SECONDS
                    return list(self._waiters)
                self._changed.wait(left if self._waiters else None)
            return []

    def _listen(self) -> None:
        while not self._closed.is_set():
            try:
                self._hear()
            except (psycopg2.Error, OSError, Unavailable) as error:
                log.warning("the lock listener lost its connection: %s", error)
                self._closed.wait(POLL_SECONDS)

    def _hear(self) -> None:
        with closing(connect(self._session.url, **self._session.arguments)) as conn:
            conn.autocommit = True
            self._session.check(conn)
            with conn.cursor() as cursor:
                cursor.execute(f"LISTEN {_CHANNEL}")
            # A request that queued before LISTEN took effect may have missed its notification.
            self.look_in(0)
            # Not select(): it fails once a busy process has a thousand descriptors open.
            with selectors.DefaultSelector() as ready:
                ready.register(conn, selectors.EVENT_READ)
                while not self._closed.is_set():
                    ready.select(0.5)
                    conn.poll()
                    while conn.notifies:
                        self._ring([conn.notifies.pop(0).payload], has_place=True)

    def _ring(self, ids: Iterable[str], *, has_place: bool) -> None:
        with self._changed:
            for waiter in filter(None, map(self._waiters.get, ids)):
                waiter.has_place = has_place
                waiter.wake.set()


def _first_of_free(places: Sequence[WaitingPlace]) -> list[str]:
    """The first of these waiters for each lock that is free: it asks, and the lock is granted.

    To whom, the database decides: another process may have a waiter that came before.
    """
    free: dict[tuple[str, str], str] = {}
    for place in places:
        if place.held_seconds <= 0:
            free.setdefault((place.kind, place.scope), place.id)
    return list(free.values())


def until(deadline: float) -> float:
    """Seconds left until the monotonic time `deadline`, never negative."""
    return max(0.0, deadline - time.monotonic())
