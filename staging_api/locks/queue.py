"""Waiting for a lock: a seat in this process, woken by a notification, with polling behind it.

One connection listens for the whole process, straight to the server (a transaction pooler keeps no
LISTEN). A notification is only a hint to ask again at once: should one be lost, or the listener be
away, each waiter asks every `POLL_SECONDS` anyway.

What if it dies? The waiting process: its row in ``lock_waiters`` is passed over once it has not
been seen for 6 s, and deleted by `store.note_expired`. If the lock was just handed to it, that
lease is a short one. The listener's connection: it is opened again; waiters poll meanwhile.
"""

import logging
import selectors
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import psycopg2
from sqlalchemy import make_url

from staging_api.background import BackgroundThread
from staging_api.db.sessions import Session, connect
from staging_api.errors import Unavailable

log = logging.getLogger(__name__)

#: How often a waiter asks by itself; a third of the time after which it is thought dead.
POLL_SECONDS = 2.0
_CHANNEL = "staging_locks"


class WaitQueue:
    """The waiters of this process."""

    def __init__(self, direct_url: str, seats: threading.Semaphore) -> None:
        """Wait in `seats`, which all who park a thread of this process share."""
        url = make_url(direct_url).set(drivername="postgresql")
        self._session = Session(url.render_as_string(hide_password=False), {})
        self._seats = seats
        self._bells: dict[str, threading.Event] = {}
        self._mutex = threading.Lock()
        self._closed = threading.Event()
        self._listener = BackgroundThread("lock-listener", self._run)

    @contextmanager
    def seat(self, waiter_id: str) -> Iterator[threading.Event | None]:
        """An event that is set when the lock may have been handed to `waiter_id`.

        Yields None when all seats are taken: parked requests must never use up the threads that
        other requests need.
        """
        if not self._seats.acquire(blocking=False):
            yield None
            return
        bell = threading.Event()
        try:
            with self._mutex:
                self._bells[waiter_id] = bell
            # Without a listener, waiters ask by themselves; the next one tries to start it again.
            with suppress(Unavailable):
                self._listener.ensure()
            yield bell
        finally:
            with self._mutex:
                del self._bells[waiter_id]
            self._seats.release()

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        self._listener.join()

    def check(self) -> None:
        """Refuse a queue that needs its listener and has none.

        Raises:
            Unavailable: the thread does not run.
        """
        self._listener.check()

    def _run(self) -> None:
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
            # Whoever queued before LISTEN took effect may have missed its notification.
            self._ring_all()
            # Not select(): it fails once a busy process has a thousand descriptors open.
            with selectors.DefaultSelector() as ready:
                ready.register(conn, selectors.EVENT_READ)
                while not self._closed.is_set():
                    ready.select(0.5)
                    conn.poll()
                    while conn.notifies:
                        self._ring(conn.notifies.pop(0).payload)

    def _ring(self, waiter_id: str) -> None:
        with self._mutex:
            bell = self._bells.get(waiter_id)
        if bell is not None:
            bell.set()

    def _ring_all(self) -> None:
        with self._mutex:
            for bell in self._bells.values():
                bell.set()


def until(deadline: float) -> float:
    """Seconds left until the monotonic time `deadline`, never negative."""
    return max(0.0, deadline - time.monotonic())
