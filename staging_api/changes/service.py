"""Notify open pages of changes: one statement a second for all streams of a process.

The statement runs only while a stream is open. It does not use NOTIFY: then all writers of the
service would wait for one lock at their commits, for the sake of open pages.

What if the database is unavailable? No event is sent; pages poll now and then, and show the outage.
When the database is back, all topics are reported as changed. What if the process dies? Its streams
end.
"""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping

from staging_api.background import BackgroundThread
from staging_api.changes import rows
from staging_api.changes.model import TABLES, Topic
from staging_api.db.engine import Database
from staging_api.errors import StagingApiError
from staging_api.open_stream import OpenStream
from staging_api.open_streams import OpenStreams

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
_ALLOWED_SECONDS = 15.0
#: Life of a stream; then its reader authenticates again.
STREAM_SECONDS = 300.0


class ChangeFeed:
    """The open streams of this process; sends each stream the topics that changed."""

    def __init__(self, database: Database) -> None:
        """Start no thread yet: a process may fork first."""
        self._database = database
        self.streams = OpenStreams()
        self._closed = threading.Event()
        self._thread = BackgroundThread("changes", self._run)

    def open(
        self, caller: str, topics: Collection[str], still_allowed: Callable[[], bool]
    ) -> OpenStream:
        """Return a stream of changes, for a connection to take.

        Args:
            still_allowed: called every 15 s; returns whether the caller may still follow the
                stream.

        Raises:
            TooManyRequests: the caller has too many streams open.
            Unavailable: the process has too many streams open.
        """
        self._thread.ensure()
        return self.streams.admit(caller, topics, STREAM_SECONDS, still_allowed)

    def close(self) -> None:
        """End all streams, and stop looking for changes."""
        self._closed.set()
        self.streams.close()
        self._thread.join()

    def _run(self) -> None:
        seen: Mapping[Topic, object] | None = None
        allowed_at = time.monotonic() + _ALLOWED_SECONDS
        while self.streams.wait_for_one():
            began = time.monotonic()
            if began >= allowed_at:
                allowed_at = began + _ALLOWED_SECONDS
                self.streams.end_those_not_allowed()
            found = self._look()
            # Pages load when they open their streams: the first marks are no change.
            if seen is not None and found != seen:
                self.streams.tell(each for each in TABLES if found.get(each) != seen.get(each))
            seen = found
            self._closed.wait(pause_seconds(time.monotonic() - began))

    def _look(self) -> Mapping[Topic, object]:
        """Return the marks by topic; empty while the database is unavailable."""
        try:
            with self._database.connect() as conn:
                return {**rows.marks(conn)}
        except StagingApiError as error:
            log.debug("open pages get no change notices: %s", error)
            return {}


def pause_seconds(looked_seconds: float) -> float:
    """Return the pause after a query of this duration: queries take a fifth of all time."""
    return max(LOOK_SECONDS, 4 * looked_seconds)
