"""Waiting for a staging to change: one look at the database for all who wait in this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.background import BackgroundThread
from staging_api.db.engine import Database
from staging_api.errors import StagingApiError
from staging_api.shutdown import Shutdown
from staging_api.staging import repository

_LOOK_SECONDS = 0.1


class Watch:
    """Tells requests that wait when a staging has another version."""

    def __init__(self, database: Database, seats: threading.Semaphore, shutdown: Shutdown) -> None:
        """Start no thread yet: a process may fork before anybody waits.

        `seats` are shared by all who park a thread of this process.
        """
        self._database = database
        self._seats = seats
        self._shutdown = shutdown
        self._waiting: dict[str, int] = {}
        self._versions: dict[str, int] = {}
        self._changed = threading.Condition()
        self._thread = BackgroundThread("staging-watch", self._run)
        self._closed = threading.Event()

    @contextmanager
    def seat(self) -> Iterator[bool]:
        """A seat for the block, if one is free.

        Parked requests must never use up the threads that other requests need: who gets no seat
        answers at once.
        """
        seated = self._seats.acquire(blocking=False)
        try:
            yield seated
        finally:
            if seated:
                self._seats.release()

    def wait_for_change(self, staging_id: str, version: int, seconds: float) -> bool:
        """Wait until the staging has another version, for at most so many seconds.

        Returns at once, with False, when too many wait already.
        """
        with self.seat() as seated:
            return seated and self.changed(staging_id, version, seconds)

    def changed(self, staging_id: str, version: int, seconds: float) -> bool:
        """The same, for whoever has a seat already."""
        with self._changed, self._interest(staging_id):
            self._changed.wait_for(
                lambda: self.closed or self._seen(staging_id, version) != version, seconds
            )
            return self._seen(staging_id, version) != version

    @property
    def closed(self) -> bool:
        """Whether this process is about to end, and nobody should wait any more."""
        return self._closed.is_set() or self._shutdown.begun

    def close(self) -> None:
        """Stop looking, and let those go who wait."""
        self._closed.set()
        with self._changed:
            self._changed.notify_all()
        self._thread.join()

    def check(self) -> None:
        """Refuse to let anybody wait in vain.

        Raises:
            Unavailable: the thread that looks does not run.
        """
        self._thread.check()

    def _seen(self, staging_id: str, otherwise: int) -> int:
        return self._versions.get(staging_id, otherwise)

    @contextmanager
    def _interest(self, staging_id: str) -> Iterator[None]:
        self._thread.ensure()
        self._waiting[staging_id] = self._waiting.get(staging_id, 0) + 1
        try:
            yield
        finally:
            self._waiting[staging_id] -= 1
            if not self._waiting[staging_id]:
                del self._waiting[staging_id]
                self._versions.pop(staging_id, None)

    def _run(self) -> None:
        while not self._closed.wait(_LOOK_SECONDS):
            with self._changed:
                ids = list(self._waiting)
            if not ids:
                continue
            try:
                with self._database.connect() as conn:
                    seen = repository.versions(conn, ids)
            except StagingApiError:
                # Whoever waits gets its answer when the time is over, and learns it then.
                time.sleep(_LOOK_SECONDS)
                continue
            with self._changed:
                self._versions.update({k: v for k, v in seen.items() if k in self._waiting})
                self._changed.notify_all()
