"""Limits for the duration of statements, enforced by the server, or else by this process.

The server ends long statements and idle transactions; `db.sessions` sets both limits on each new
connection. Behind a pooler in transaction mode, the settings would affect a connection that other
clients use next, so there the role must have the limits (``docs/roles.sql``).

A server that hangs (frozen, or its disk gone) ends nothing, while its kernel acknowledges every
packet, so neither keepalives nor `tcp_user_timeout` notice. So a thread checks once a second for
statements that have had no answer for longer than the server would have let them run, and shuts
their sockets down: libpq returns in the waiting thread, with an error like that of any lost
connection.

What if the process dies? Its connections end with it. What if only the thread dies? The next
statement starts it again.
"""

import os
import socket
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg2
from sqlalchemy import Connection, Engine, ExceptionContext, event

from staging_api.background import BackgroundThread
from staging_api.errors import Unavailable

#: Key, in a connection's ``info``, of the watchdog to notify of statements.
WATCHDOG = "watchdog"

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Timeouts:
    """Limits of a statement and of a transaction.

    Attributes:
        statement_seconds: after this time the server ends a statement.
        idle_seconds: after this idle time the server ends a transaction.
        hung_seconds: after this time without an answer, this process shuts a connection down.
        sent: whether each connection sends the limits to the server; False behind a pooler.
    """

    statement_seconds: float
    idle_seconds: float
    hung_seconds: float
    sent: bool = True

    @property
    def settings(self) -> dict[str, str]:
        """The limits as settings of the server, in milliseconds."""
        return {
            "statement_timeout": f"{self.statement_seconds * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{self.idle_seconds * 1000:.0f}",
        }


class Watchdog:
    """Shuts down connections whose statement has had no answer for too long."""

    def __init__(self, hung_seconds: float) -> None:
        """Start no thread yet: a process may fork before its first statement."""
        self._hung_seconds = hung_seconds
        self._asked: dict[int, tuple[float, Any]] = {}
        # Held while a socket is shut down, so that its waiting thread cannot close it meanwhile.
        self._mutex = threading.Lock()
        self._closed = threading.Event()
        self._thread = BackgroundThread("watchdog", self._run)

    def watch(self, engine: Engine) -> None:
        """Watch all connections of an engine."""
        event.listen(engine, "connect", self._on_connect)
        event.listen(engine, "before_cursor_execute", self._before_statement)
        event.listen(engine, "after_cursor_execute", self._after_statement)
        event.listen(engine, "handle_error", self._after_error)
        for name in ("commit", "rollback"):
            event.listen(engine, name, self._before_end)
        for name in ("checkin", "close", "close_detached"):
            event.listen(engine, name, self.end)

    def close(self) -> None:
        """Stop the thread."""
        self._closed.set()

    def check(self) -> None:
        """Check that connections are watched.

        Raises:
            Unavailable: the thread does not run.
        """
        self._thread.check()

    def begin(self, driver: Any) -> None:
        """Note that a statement begins on this connection."""
        with self._mutex:
            self._asked[id(driver)] = (time.monotonic(), driver)
        # A hung server is rare: do not refuse statements because no thread can be started.
        with suppress(Unavailable):
            self._thread.ensure()

    def end(self, driver: Any, *_rest: Any) -> None:
        """Note that the statement has ended, successfully or not."""
        with self._mutex:
            self._asked.pop(id(driver), None)

    def _on_connect(self, _driver: Any, record: Any) -> None:
        record.info[WATCHDOG] = self

    def _before_statement(self, _conn: Connection, cursor: Any, *_rest: Any) -> None:
        self.begin(cursor.connection)

    def _after_statement(self, _conn: Connection, cursor: Any, *_rest: Any) -> None:
        self.end(cursor.connection)

    def _after_error(self, context: ExceptionContext) -> None:
        if context.execution_context is not None:
            self.end(context.execution_context.cursor.connection)

    def _before_end(self, conn: Connection) -> None:
        # The end of a COMMIT or ROLLBACK is noted with the next statement, or when the connection
        # returns to its pool.
        if not conn.invalidated:
            self.begin(conn.connection.dbapi_connection)

    def _run(self) -> None:
        while not self._closed.wait(min(_LOOK_SECONDS, self._hung_seconds / 2)):
            with self._mutex:
                too_long = time.monotonic() - self._hung_seconds
                for key, (asked_at, driver) in list(self._asked.items()):
                    if asked_at < too_long:
                        _shut(driver)
                        del self._asked[key]


def _shut(driver: Any) -> None:
    """Shut both directions of the connection down; its descriptor stays open."""
    # On a copy of the descriptor: the socket object closes its own at the end of the block, while
    # libpq still uses the original.
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(driver.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
