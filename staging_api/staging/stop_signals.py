"""Check whether the work on a staging should stop: before every chunk, and during silence."""

import threading
import time
from collections.abc import Iterable

from staging_api.db.engine import Database
from staging_api.errors import Cancelled
from staging_api.locks.keeper import Hold
from staging_api.shutdown import Shutdown
from staging_api.staging.repository import staging_rows

#: Interval of reading the row, which records the request for a cancellation.
LOOK_SECONDS = 0.5


class StopSignals:
    """Detects within a second that a staging is cancelled, its lock is lost or the process ends."""

    def __init__(
        self, database: Database, staging_id: str, holds: Iterable[Hold], shutdown: Shutdown
    ) -> None:
        self._database = database
        self._staging_id = staging_id
        self._holds = tuple(holds)
        self._shutdown = shutdown
        self._cancelled = False
        self._looks_at = time.monotonic() + LOOK_SECONDS
        self._mutex = threading.Lock()

    def check(self) -> None:
        """Check that the work may go on; cheap, and callable from any thread.

        Raises:
            Cancelled: the staging was cancelled.
            LockLost: another process may work on it now.
            ShuttingDown: this process ends, and its time is over.
        """
        for held in self._holds:
            held.assert_held()
        self._shutdown.check_over()
        if self._is_my_turn():
            with self._database.connect() as conn:
                self._cancelled = staging_rows.cancel_is_requested(conn, self._staging_id)
        if self._cancelled:
            raise Cancelled(f"staging {self._staging_id} was cancelled")

    def _is_my_turn(self) -> bool:
        """Return whether this thread reads the row now."""
        with self._mutex:
            now = time.monotonic()
            if self._cancelled or now < self._looks_at:
                return False
            # Set before the read: of several download threads only one queries the database.
            self._looks_at = now + LOOK_SECONDS
            return True
