"""Check whether the work on a staging shall stop: before every chunk, and while none comes."""

import threading
import time
from collections.abc import Iterable

from staging_api.db.engine import Database
from staging_api.errors import Cancelled
from staging_api.locks.keeper import Hold
from staging_api.shutdown import Shutdown
from staging_api.staging.repository import staging_rows

#: Between two looks at the row, which says whether a cancellation was requested.
LOOK_SECONDS = 0.5


class StopSignals:
    """Notices within a second that a staging is cancelled, its lock lost or the process to end."""

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
        """Return if the work may go on; cheap, from any thread.

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
        """Return whether this thread is the one that looks at the row now."""
        with self._mutex:
            now = time.monotonic()
            if self._cancelled or now < self._looks_at:
                return False
            # Set before the look: of several download threads one asks the database.
            self._looks_at = now + LOOK_SECONDS
            return True
