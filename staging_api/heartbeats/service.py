"""Heartbeats of this process, and the list of live processes.

A thread of each process writes its row every `EVERY_SECONDS`; nothing else depends on it. What if
the process dies? Its row stays, counts as dead after three intervals by the database's clock, and
is deleted after a day by the beat of any other process. A process that shuts down deletes its row.
What if the database is unavailable? The thread keeps trying, and the row stays as old as the
outage.
"""

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from staging_api.db.engine import Database, database_time
from staging_api.errors import StagingApiError
from staging_api.heartbeats import rows
from staging_api.heartbeats.model import DatabaseFacts, ProcessDescription, ProcessLoad, SeenProcess
from staging_api.paging import Page, page_of

log = logging.getLogger(__name__)

EVERY_SECONDS = 5.0
# Time for the last statement of a process that ends.
_LEAVE_SECONDS = 1.0


class Heartbeat:
    """Writes the row of this process from `start` to `stop`."""

    def __init__(self, database: Database, every_seconds: float = EVERY_SECONDS) -> None:
        """Start no thread yet: a process may fork first."""
        self._database = database
        self._every_seconds = every_seconds
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, described: ProcessDescription, load: Callable[[], ProcessLoad]) -> None:
        """Start writing; `load` is called before each beat.

        If the machine refuses a thread, no row is written: people see less, and everything else
        works.
        """
        thread = threading.Thread(
            target=self._run, args=(described, load), name="heartbeat", daemon=True
        )
        try:
            thread.start()
        except RuntimeError as error:
            log.warning("this process will not be among /processes: %s", error)
            return
        self._thread = thread

    def stop(self) -> None:
        """Delete the row, if the database answers within a second."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_LEAVE_SECONDS)

    def _run(self, described: ProcessDescription, load: Callable[[], ProcessLoad]) -> None:
        failing = False
        while True:
            # Read first: a stop during a beat gets one more turn, which deletes the row again.
            leaves = self._stop.is_set()
            try:
                with self._database.connect() as conn:
                    if leaves:
                        rows.leave(conn, described.name)
                    else:
                        threads, every = threading.active_count(), self._every_seconds
                        rows.beat(conn, described, load(), threads=threads, every_seconds=every)
                failing = False
            except StagingApiError as error:
                if not failing:
                    log.info("this process cannot say that it lives: %s", error.detail)
                failing = True
            except Exception:
                log.exception("this process cannot say that it lives")
            if leaves:
                return
            self._stop.wait(self._every_seconds)


@dataclass(frozen=True)
class ProcessService:
    """The processes of the service, as recorded in the database."""

    database: Database

    def page(self, *, limit: int, after: str = "") -> Page[SeenProcess]:
        """List the processes behind the name `after`, by name."""
        with self.database.connect() as conn:
            return page_of(
                lambda count: rows.seen(conn, limit=count, after=after),
                limit,
                lambda process: process.name,
            )

    def all(self) -> list[SeenProcess]:
        """Return all processes that were seen within a day, by name: for counting them."""
        with self.database.connect() as conn:
            return rows.seen(conn)

    def database_time(self) -> datetime:
        """Return the time by the clock of the database.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with self.database.connect() as conn:
            return database_time(conn)

    def database_facts(self) -> DatabaseFacts:
        """Return the version of the database, and its schema."""
        with self.database.connect() as conn:
            return rows.database_facts(conn)
