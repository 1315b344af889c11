"""The end of a process, in steps: no new work, running work stops, leases are released.

    SIGTERM --drain--> begun --------------------------> over ------> given back ------> end
    /readyz says no    no new connection, no waiting     work stops   leases of threads
    requests served    worker: stops between artifacts   by itself    that hang, released

What if it dies on the way? Then the leases that it still has run out, as after any death.
"""

import mmap
import time

from staging_api.errors import ShuttingDown

# Of the time that a process has to end: when work must stop, and when leases are given back even if
# their threads hang in a read from a source.
_WORK_SHARE = 0.8
_GIVE_BACK_SHARE = 0.9


class Shutdown:
    """Whether this process ends, and how much time its work has left."""

    def __init__(self) -> None:
        """It does not, yet."""
        self._over_at: float | None = None

    def begin(self, seconds: float) -> float:
        """End within so many seconds; safe in a signal handler.

        Returns:
            Seconds until leases that are still held must be released.
        """
        if self._over_at is None:
            self._over_at = time.monotonic() + seconds * _WORK_SHARE
        return seconds * _GIVE_BACK_SHARE

    @property
    def begun(self) -> bool:
        """Whether nothing new should begin."""
        return self._over_at is not None

    def check_begun(self) -> None:
        """Go on only if the process does not end.

        Raises:
            ShuttingDown: it does.
        """
        if self.begun:
            raise ShuttingDown("this process is shutting down; another one takes the work up")

    def check_over(self) -> None:
        """Go on only while there is time.

        Raises:
            ShuttingDown: the time is over.
        """
        if self._over_at is not None and time.monotonic() >= self._over_at:
            self.check_begun()


class Drain:
    """Set by the parent of API processes and seen by all of them: send new requests elsewhere."""

    def __init__(self) -> None:
        """Make it before the fork: the processes share one byte of memory."""
        self._shared = mmap.mmap(-1, 1)

    def begin(self) -> None:
        """Drain from now on; safe in a signal handler."""
        self._shared[0] = 1

    @property
    def begun(self) -> bool:
        """Whether new requests should go elsewhere."""
        return self._shared[0] == 1
