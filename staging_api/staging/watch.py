"""Waiting for a staging to change: one look at the database for all who wait in this process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.db.engine import Database
from staging_api.errors import StagingApiError
from staging_api.shutdown import Shutdown
from staging_api.staging import repository

_LOOK_SECONDS = 0.25


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
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def wait_for_change(self, staging_id: str, version: int, seconds: float) -> bool:
        """Wait until the staging has another version, for at most so many seconds.

        Returns at once, with False, when too many wait already: parked requests must never use up
        the threads that other requests need. Once the process shuts down nobody waits either.
        """
        if not self._seats.acquire(blocking=False):
            return False
        try:
            with self._changed, self._interest(staging_id):
                return self._changed.wait_for(
                    lambda: (
                        self._shutdown.begun or self._versions.get(staging_id, version) != version
                    ),
                    seconds,
                )
        finally:
            self._seats.release()

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    @contextmanager
    def _interest(self, staging_id: str) -> Iterator[None]:
        self._waiting[staging_id] = self._waiting.get(staging_id, 0) + 1
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="staging-watch", daemon=True)
            self._thread.start()
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
