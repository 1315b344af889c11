"""Clock by which this process measures the time of a lease."""

import time

# CLOCK_MONOTONIC stands still while the machine is suspended; the database's clock does not.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def now() -> float:
    """Return seconds since an arbitrary moment, including suspended time; never goes back."""
    return time.clock_gettime(_CLOCK)
