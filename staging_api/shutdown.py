"""The end of a process, in steps: no new work, running work stops, leases are released.

    SIGTERM --drain--> begun --------------------------> over ------> given back ------> end
    /readyz says no    no new connection, no waiting     work stops   leases of threads
    requests served    worker: stops between artifacts   by itself    that hang, released

What if the process dies during these steps? Its remaining leases expire, as after any crash.
"""

import mmap
import time

from staging_api.errors import ShuttingDown

# Fractions of the time that a process has for ending: when work must stop, and when leases are
# released even if their threads hang in a read from a source.
_WORK_SHARE = 0.8
_GIVE_BACK_SHARE = 0.9


class Shutdown:
    """State of the process's end, and the time that its work has left."""

    def __init__(self) -> None:
        """Create the state of a process that does not end yet."""
        self._over_at: float | None = None

    def begin(self, seconds: float) -> float:
        """End within `seconds`; safe in a signal handler.

        Returns:
            Seconds until leases that are still held must be released.
        """
        if self._over_at is None:
            self._over_at = time.monotonic() + seconds * _WORK_SHARE
        return seconds * _GIVE_BACK_SHARE

    @property
    def begun(self) -> bool:
        """Whether no new work should begin."""
        return self._over_at is not None

    def check_begun(self) -> None:
        """Check that the process does not end.

        Raises:
            ShuttingDown: the process ends.
        """
        if self.begun:
            raise ShuttingDown("this process is shutting down; another one takes the work up")

    def check_over(self) -> None:
        """Check that there is time left.

        Raises:
            ShuttingDown: the time is over.
        """
        if self._over_at is not None and time.monotonic() >= self._over_at:
            self.check_begun()


class Drain:
    """Flag that the parent of API processes sets for all of them: send new requests elsewhere."""

    def __init__(self) -> None:
        """Create the flag before the fork: the processes share one byte of memory."""
        self._shared = mmap.mmap(-1, 1)

    def begin(self) -> None:
        """Drain from now on; safe in a signal handler."""
        self._shared[0] = 1

    @property
    def begun(self) -> bool:
        """Whether new requests should go to other processes."""
        return self._shared[0] == 1
