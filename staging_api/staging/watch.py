"""Wait for a staging to change, with one poll of the database for all waiters of this process."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from staging_api.background import BackgroundThread
from staging_api.clients import ALWAYS_CONNECTED, Client, check_connected
from staging_api.db.engine import Database
from staging_api.errors import StagingApiError
from staging_api.shutdown import Shutdown
from staging_api.staging.repository import reading

_LOOK_SECONDS = 0.1


class Watch:
    """Wakes waiting requests when a staging has another version."""

    def __init__(
        self, database: Database, waiter_slots: threading.Semaphore, shutdown: Shutdown
    ) -> None:
        """`waiter_slots` are shared by all requests of this process that wait."""
        self._database = database
        self._waiter_slots = waiter_slots
        self._shutdown = shutdown
        self._waiting: dict[str, set[_Waiter]] = {}
        self._mutex = threading.Lock()
        self._thread = BackgroundThread("staging-watch", self._run)
        self._closed = threading.Event()

    @contextmanager
    def waiter_slot(self) -> Iterator[bool]:
        """Take a slot for the block; yield False if none is free, and the caller must not wait."""
        # Without waiting for one: each waiting request keeps a thread, and these must not run out.
        has_slot = self._waiter_slots.acquire(blocking=False)
        try:
            yield has_slot
        finally:
            if has_slot:
                self._waiter_slots.release()

    def wait_for_change(
        self, staging_id: str, version: int, seconds: float, client: Client = ALWAYS_CONNECTED
    ) -> bool:
        """Wait until the staging has another version, for at most `seconds`.

        Returns False at once when too many requests wait already.

        Raises:
            ClientGone: the client closed its connection meanwhile.
        """
        with self.waiter_slot() as has_slot:
            return has_slot and self.changed(staging_id, version, seconds, client)

    def changed(
        self, staging_id: str, version: int, seconds: float, client: Client = ALWAYS_CONNECTED
    ) -> bool:
        """Wait like `wait_for_change`, for a caller that has a slot."""
        waiter = _Waiter(version)
        with self._interest(staging_id, waiter):
            if not self.closed:
                with client.waiting(waiter.wake.set):
                    waiter.wake.wait(max(0.0, seconds))
        check_connected(client)
        return waiter.has_news

    @property
    def closed(self) -> bool:
        """Whether this process is about to end, and no request should wait any more."""
        return self._closed.is_set() or self._shutdown.begun

    def close(self) -> None:
        """Stop polling, and wake all waiters."""
        self._closed.set()
        self._wake_all()
        self._thread.join()

    def check(self) -> None:
        """Check the thread that polls.

        Raises:
            Unavailable: the thread does not run.
        """
        self._thread.check()

    @contextmanager
    def _interest(self, staging_id: str, waiter: "_Waiter") -> Iterator[None]:
        # Before the waiter is added: this raises if the thread cannot start, and then no thread
        # would wake the waiter.
        self._thread.ensure()
        with self._mutex:
            self._waiting.setdefault(staging_id, set()).add(waiter)
        try:
            yield
        finally:
            with self._mutex:
                waiters = self._waiting[staging_id]
                waiters.remove(waiter)
                if not waiters:
                    del self._waiting[staging_id]

    def _run(self) -> None:
        pause = _LOOK_SECONDS
        # In steps, so that the end of the process wakes waiters during a long pause, too.
        while not self._closed.wait(min(pause, _LOOK_SECONDS)):
            pause -= _LOOK_SECONDS
            if self._shutdown.begun:
                self._wake_all()
                pause = _LOOK_SECONDS
            elif pause <= 0:
                pause = self._look()

    def _look(self) -> float:
        """Wake the waiters of changed stagings; return the seconds until the next look."""
        with self._mutex:
            ids = list(self._waiting)
        if not ids:
            return _LOOK_SECONDS
        began = time.monotonic()
        try:
            with self._database.connect() as conn:
                seen = reading.versions(conn, ids)
        except StagingApiError:
            # Waiters time out, and then get the error themselves.
            return _LOOK_SECONDS
        self._wake(seen)
        # Less often for many stagings, so that looking takes a fifth of the time at most.
        return max(_LOOK_SECONDS, 4 * (time.monotonic() - began))

    def _wake(self, seen: Mapping[str, int]) -> None:
        with self._mutex:
            for staging_id, version in seen.items():
                for waiter in self._waiting.get(staging_id, ()):
                    # A look that began before the waiter's own read may have seen an older version.
                    if version > waiter.version:
                        waiter.has_news = True
                        waiter.wake.set()

    def _wake_all(self) -> None:
        with self._mutex:
            for waiters in self._waiting.values():
                for waiter in waiters:
                    waiter.wake.set()


@dataclass(eq=False)
class _Waiter:
    """One request that waits until its staging has a newer version than it knows."""

    version: int
    wake: threading.Event = field(default_factory=threading.Event)
    has_news: bool = False
