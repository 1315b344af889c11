"""Which run of the publisher holds its lock, and when it will be over."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from staging_api.locks.hold import Locks
from staging_api.publishing import rows

# A run writes its row just after it got the lock; by then no caller waits longer for the row.
_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class RunningOperation:
    """A run under the lock.

    Attributes:
        run: its id, operation, purpose, archive, phase and start.
        seconds_left: by how long earlier runs like it took; None: there were none.
    """

    run: Mapping[str, Any]
    seconds_left: float | None


def running_under(locks: Locks, lock_id: str) -> RunningOperation | None:
    """Return what runs under a grant of the lock, waiting a moment for its row.

    None: the process that got the lock died before it wrote the row.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with locks.database.connect() as conn:
            run = rows.run_of_lock(conn, lock_id)
            if run is not None:
                return RunningOperation(run, rows.seconds_left(conn, run["id"]))
        if time.monotonic() > deadline:
            return None
        time.sleep(_POLL_SECONDS)
