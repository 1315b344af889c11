"""Count the reads below ``/static`` in this process, and write them once a minute.

Counts may be late; protection from eviction may not: before the first read of a minute is answered,
the time of the read is written to the artifact's row (`hand_out`). So the tables are at most a
minute late, for which `StoreTerms.evictable_seconds` allows.

What if the process dies? At most a minute of reads is not counted; protection is not lost.
"""

import logging
import threading
from collections.abc import Mapping
from contextlib import suppress

from staging_api.background import BackgroundThread
from staging_api.db.engine import Database
from staging_api.errors import StagingApiError, Unavailable
from staging_api.staging.repository import access_rows

log = logging.getLogger(__name__)

FLUSH_SECONDS = 60.0


class Accesses:
    """Counts reads in memory; however many there are, a row is written once a minute."""

    def __init__(self, database: Database, flush_seconds: float = FLUSH_SECONDS) -> None:
        self._database = database
        self._flush_seconds = flush_seconds
        self._counted: dict[tuple[str, str], tuple[int, int]] = {}
        self._mutex = threading.Lock()
        self._thread = BackgroundThread("accesses", self._run)
        self._closed = threading.Event()

    def note(self, artifact_id: str, caller: str, size_bytes: int) -> None:
        """Count one read of an artifact, of `size_bytes`."""
        with self._mutex:
            hits, total = self._counted.get((artifact_id, caller), (0, 0))
            self._counted[artifact_id, caller] = hits + 1, total + size_bytes
        # A read is answered even if the counting thread cannot start.
        with suppress(Unavailable):
            self._thread.ensure()

    def hand_out(self, artifact_id: str) -> bool:
        """Record that an artifact is read now, before its bytes are sent.

        Returns:
            whether the artifact was still staged: an eviction may have come first.
        """
        with self._database.connect() as conn:
            return access_rows.note_hand_out(conn, artifact_id)

    def flush(self) -> None:
        """Write the counts; counts that cannot be written now are kept."""
        with self._mutex:
            # Swapped, so that `note`, which takes the same mutex, never waits for the database.
            counted, self._counted = self._counted, {}
        if not counted:
            return
        try:
            with self._database.begin() as conn:
                access_rows.note_accesses(conn, counted)
        except StagingApiError as error:
            log.warning("%d reads are not recorded yet: %s", len(counted), error.detail)
            self._put_back(counted)

    def close(self) -> None:
        """Stop the thread, and write the remaining counts."""
        self._closed.set()
        # The thread ends without a last flush, so the newest counts are written below.
        self._thread.join()
        self.flush()

    def check(self) -> None:
        """Check the thread that writes the counts.

        Raises:
            Unavailable: the thread does not run.
        """
        self._thread.check()

    def _put_back(self, counted: Mapping[tuple[str, str], tuple[int, int]]) -> None:
        with self._mutex:
            for key, (hits, total) in counted.items():
                # Reads counted since the swap are there already: add to them.
                more_hits, more = self._counted.get(key, (0, 0))
                self._counted[key] = hits + more_hits, total + more

    def _run(self) -> None:
        while not self._closed.wait(self._flush_seconds):
            try:
                self.flush()
            except Exception:
                log.exception("reads could not be recorded")
