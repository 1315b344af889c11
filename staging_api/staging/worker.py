"""The worker: takes up stagings with something left to do, whoever left it.

Background artifacts, requests that did not want to wait, and the work of processes that died are
all one thing to it: rows that are due under locks that nobody holds. It asks the database every
`POLL_SECONDS`; which worker gets what is decided by the lock, not here.

What if it dies? The same as for any holder: its leases run out and another worker, or the next
request, takes the rows up (see `staging.service`).
"""

import logging
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor

from staging_api import logs
from staging_api.errors import LockHeld, LockLost, ShuttingDown, StagingApiError, Unavailable
from staging_api.locks import store as locks
from staging_api.locks.hold import Asker
from staging_api.staging import repository
from staging_api.staging.model import Staging
from staging_api.staging.reconcile import check_next
from staging_api.staging.service import StagingService
from staging_api.traces import Spans, untraced

log = logging.getLogger(__name__)

#: A probe of the few rows that are unfinished; somebody may be waiting for what is due.
POLL_SECONDS = 0.1
_HOUSEKEEPING_SECONDS = 30.0
_ROOM_SECONDS = 3600.0
# Longer than the database may let a statement wait.
_STUCK_SECONDS = 60.0
#: Temporary files of the store are somebody's work for at most as long as this.
_STALE_SECONDS = 24 * 3600.0


class Worker:
    """Works on up to `jobs` stagings at once until it is told to stop."""

    def __init__(self, stagings: StagingService, jobs: int, spans: Spans = untraced) -> None:
        """Begin nothing yet: `run` does."""
        self._spans = spans
        self._stagings = stagings
        self._jobs = jobs
        self._asker = Asker(caller="worker")
        self._running: dict[str, Future[None]] = {}
        self._stop = threading.Event()
        self._tidied_at = self._made_room_at = float("-inf")
        self._turned_at = time.monotonic()

    def stop(self) -> None:
        """Begin nothing more, and let `run` return when what runs is done."""
        self._stop.set()

    def check(self) -> None:
        """Make sure that the loop turns, unless it was told to stop.

        Raises:
            Unavailable: it has not for a minute.
        """
        if time.monotonic() - self._turned_at > _STUCK_SECONDS and not self._stop.is_set():
            raise Unavailable("the worker's loop hangs")

    def run(self) -> None:
        """Work until `stop`; a database that is away is waited for."""
        with ThreadPoolExecutor(self._jobs, "staging") as pool:
            while not self._stop.is_set():
                try:
                    self._turned_at = time.monotonic()
                    self._begin_due(pool)
                    self._tidy()
                except StagingApiError as error:
                    log.warning("the worker waits: %s", error.detail)
                self._stop.wait(POLL_SECONDS)

    def _begin_due(self, pool: ThreadPoolExecutor) -> None:
        self._running = {k: job for k, job in self._running.items() if not job.done()}
        free = self._jobs - len(self._running)
        if free <= 0:
            return
        with self._stagings.database.connect() as conn:
            due = repository.due(conn, limit=free + len(self._running))
        for staging in [s for s in due if s.archive_url not in self._running][:free]:
            self._running[staging.archive_url] = pool.submit(self._resume, staging)

    def _resume(self, staging: Staging) -> None:
        try:
            told = {"staging.id": staging.id, "staging.archive_url": staging.archive_url}
            with self._spans("staging", told):
                self._stagings.resume(staging, self._asker)
        except (LockHeld, LockLost, ShuttingDown) as error:
            log.info("staging %s is left to another: %s", staging.id, error.detail)
        except StagingApiError as error:
            log.warning("staging %s is left for later: %s", staging.id, error.detail)
        except Exception:
            log.exception("staging %s is left for later", staging.id)
        finally:
            logs.forget()

    def _tidy(self) -> None:
        """Note locks that ran out, make room for the history to come, sweep the dead's files."""
        if time.monotonic() - self._tidied_at < _HOUSEKEEPING_SECONDS:
            return
        self._tidied_at = time.monotonic()
        with self._stagings.database.connect() as conn:
            locks.note_expired(conn, self._stagings.locks.holder)
        self._stagings.blobs.sweep(_STALE_SECONDS)
        try:
            self._stagings.upkeep.tidy()
            check_next(self._stagings.upkeep)
        except OSError as error:
            # A disk that fails must not keep the worker from what needs none.
            log.warning("the store could not be tidied: %s", error)
        self._make_room()

    def _make_room(self) -> None:
        if time.monotonic() - self._made_room_at < _ROOM_SECONDS:
            return
        with self._stagings.database.connect() as conn:
            locks.extend_history(conn)
            locks.forget_scopes(conn)
        self._made_room_at = time.monotonic()
