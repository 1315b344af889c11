"""Clock of the database, for ages on pages: the database dates all rows.

The clock of this machine may be wrong by minutes, and a lock would seem to be held for so much
longer. The database is queried once a minute. In between, and while it is unreachable, its time is
extrapolated by this machine's monotonic clock.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from staging_api import clock
from staging_api.errors import StagingApiError

_ASKED_EVERY_SECONDS = 60.0


class DatabaseClock:
    """Time of the database, extrapolated between queries; thread-safe."""

    def __init__(
        self, ask: Callable[[], datetime], elapsed: Callable[[], float] = clock.now
    ) -> None:
        """Send no query yet.

        Args:
            ask: returns the time of the database, or raises `StagingApiError`.
            elapsed: monotonic clock, in seconds.
        """
        self._ask, self._elapsed = ask, elapsed
        self._next_ask = float("-inf")
        # Time of the database, and the monotonic time when it was read.
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the database's time; this machine's time until the first successful query."""
        at = self._elapsed()
        if at >= self._next_ask:
            # Set before the query, so that not every page waits while the database is unreachable.
            self._next_ask = at + _ASKED_EVERY_SECONDS
            self._learn()
        if self._known is None:
            return datetime.now(UTC)
        time, then = self._known
        return time + timedelta(seconds=self._elapsed() - then)

    def _learn(self) -> None:
        try:
            time = self._ask()
        except StagingApiError:
            return
        self._known = time, self._elapsed()
