"""Queries of publisher runs: a run, a page of runs, and the run that holds the lock now."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Unpack

from staging_api.db.engine import Database
from staging_api.paging import Page, page_of
from staging_api.publishing.rows import runs
from staging_api.publishing.run_model import PublisherRun, RunFilter

# A run writes its row just after it acquired the lock; a caller waits this long for the row.
_PATIENCE_SECONDS = 2.0
_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class RunningOperation:
    """A run that holds the lock.

    Attributes:
        run: its id, operation, purpose, archive, phase and start.
        seconds_left: estimate by the durations of earlier similar runs; None: there were none.
    """

    run: Mapping[str, Any]
    seconds_left: float | None


@dataclass(frozen=True)
class PublisherRuns:
    """Finds runs of the publisher."""

    database: Database

    def find(self, run_id: str) -> PublisherRun:
        """Return one run.

        Raises:
            NotFound: there is no such run.
        """
        with self.database.plain_connection() as conn:
            return runs.find_run(conn, run_id)

    def page(self, *, limit: int, **only: Unpack[RunFilter]) -> Page[PublisherRun]:
        """List runs, newest first."""
        with self.database.connect() as conn:
            return page_of(lambda count: runs.list_runs(conn, limit=count, **only), limit)

    def abandon_dead(self) -> list[str]:
        """Abandon a run whose process died, or lost the lock; return its id, if there is one.

        The next run would do the same, but may start only days later.
        """
        with self.database.connect() as conn:
            return runs.abandon_dead(conn)

    def running_under(self, lock_id: str) -> RunningOperation | None:
        """Return the run under a grant of the lock, after waiting up to 2 s for its row.

        None: the process that acquired the lock died before it wrote the row.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            with self.database.connect() as conn:
                run = runs.run_of_lock(conn, lock_id)
                if run is not None:
                    return RunningOperation(run, runs.seconds_left(conn, run["id"]))
            if time.monotonic() > deadline:
                return None
            # Sleep without the connection, so that other requests can use it.
            time.sleep(_POLL_SECONDS)
