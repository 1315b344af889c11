"""The database's clock: the times of all rows are by it, so pages count ages by it, too.

The clock of this machine may be wrong by minutes, and a lock would seem held for as much longer.
The database is asked now and then. What if it cannot be reached? Its clock is counted on from the
last answer, by a clock of this machine that nobody sets.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from staging_api import clock
from staging_api.errors import StagingApiError

_ASKED_EVERY_SECONDS = 60.0


class DatabaseClock:
    """Knows the time of the database; for any thread."""

    def __init__(
        self, ask: Callable[[], datetime], elapsed: Callable[[], float] = clock.now
    ) -> None:
        """Ask nothing yet.

        Args:
            ask: returns the time of the database, or raises `StagingApiError`.
            elapsed: seconds since an arbitrary moment.
        """
        self._ask, self._elapsed = ask, elapsed
        self._next_ask = float("-inf")
        # A time of the database, and when it was that.
        self._known: tuple[datetime, float] | None = None

    def now(self) -> datetime:
        """Return the time; this machine's while the database has not told any."""
        at = self._elapsed()
        if at >= self._next_ask:
            # Before the answer: while the database is away not every page waits to learn so.
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
