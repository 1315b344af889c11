"""Observe from a second connection which sessions block a migration; limit the sum of its waits.

``lock_timeout`` limits each wait separately. A step that needs several tables could wait for each
of them, while its own locks block all other sessions. So the waits are added up, and the statement
is cancelled when their sum exceeds the limit.

What if this connection cannot be made? The migration continues under ``lock_timeout`` alone.
"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import SQLAlchemyError

log = logging.getLogger(__name__)

_LOOK_SECONDS = 0.03

_BLOCKERS = text("""
    SELECT b.pid, coalesce(nullif(a.application_name, ''), a.backend_type), a.usename,
        extract(epoch FROM clock_timestamp() - a.xact_start)::float,
        left(regexp_replace(a.query, '\\s+', ' ', 'g'), 120)
    FROM unnest(pg_blocking_pids(:pid)) AS b (pid)
    LEFT JOIN pg_stat_activity a ON a.pid = b.pid
    ORDER BY a.xact_start LIMIT 3""")
# Behind a pooler, the server process may serve another client by now: cancel only this transaction.
_CANCEL = text("""
    SELECT pg_cancel_backend(pid) FROM pg_stat_activity
    WHERE pid = :pid AND xact_start = :began_at AND wait_event_type = 'Lock'""")


class LockWatch:
    """Watches one transaction.

    Attributes:
        blockers: the sessions that blocked the transaction last, for a log line.
    """

    def __init__(self, engine: Engine, limit_seconds: float) -> None:
        """Cancel the transaction's statement when its waits exceed `limit_seconds` in total."""
        self.blockers = "another migration"
        self._engine = engine
        self._limit_seconds = limit_seconds

    @contextmanager
    def watching(self, conn: Connection) -> Iterator[None]:
        """Watch the transaction of `conn` during the block."""
        self.blockers = "a session that ended before it could be named"
        pid, began_at = conn.execute(text("SELECT pg_backend_pid(), now()")).one()
        done = threading.Event()
        thread = threading.Thread(
            target=self._look, args=(pid, began_at, done), name="lock-watch", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _look(self, pid: int, began_at: datetime, done: threading.Event) -> None:
        try:
            with self._engine.connect() as own:
                conn = own.execution_options(isolation_level="AUTOCOMMIT")
                self._add_up(conn, pid, began_at, done)
        except SQLAlchemyError as error:
            log.warning("the sessions that block it are not known: %s", type(error).__name__)

    def _add_up(
        self, conn: Connection, pid: int, began_at: datetime, done: threading.Event
    ) -> None:
        waited, looked_at = 0.0, time.monotonic()
        while not done.wait(_LOOK_SECONDS):
            found = conn.execute(_BLOCKERS, {"pid": pid}).all()
            now = time.monotonic()
            if found:
                waited += now - looked_at
                self.blockers = "; ".join(_described(*row) for row in found)
            looked_at = now
            if waited >= self._limit_seconds:
                conn.execute(_CANCEL, {"pid": pid, "began_at": began_at})


def _described(
    pid: int, application: str | None, role: str | None, seconds: float | None, query: str | None
) -> str:
    if application is None:
        return "a prepared transaction (pg_prepared_xacts)"
    since = "" if seconds is None else f", in a transaction for {seconds:.0f} s"
    return f"pid {pid} ({application}, role {role}{since}): {query or 'no statement'}"
