"""How long a statement may take, and who ends it after that: the server, else this process.

The server ends a statement of its own accord, and a transaction in which nothing happens; it is
told so on each new connection, by `db.sessions`. Behind a pooler in transaction mode that would be
told to some connection of the pooler that others use next, so there the role has to say it
(``docs/roles.sql``).

A server that hangs (frozen, its disk gone) ends nothing, and its kernel acknowledges everything, so
neither keepalives nor `tcp_user_timeout` notice. For that a thread looks once a second whether some
statement has had no answer for longer than the server would have let it run, and shuts the socket:
libpq returns in the thread that waits, with an error like that of any lost connection.

What if the thread dies with its process? Then so do the connections. Alone? The next statement
starts it again.
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

#: Where a connection's ``info`` has the watchdog that it is to tell of statements.
WATCHDOG = "watchdog"

_LOOK_SECONDS = 1.0


@dataclass(frozen=True)
class Timeouts:
    """What one statement, and one transaction, may take.

    Attributes:
        statement_seconds: the server ends a statement then.
        idle_seconds: the server ends a transaction in which nothing happened for so long.
        hung_seconds: without an answer for so long, the connection is shut from this side.
        told: whether the server is told on each connection; not behind a pooler.
    """

    statement_seconds: float
    idle_seconds: float
    hung_seconds: float
    told: bool = True

    @property
    def settings(self) -> dict[str, str]:
        """What the server is told, in its settings and their milliseconds."""
        return {
            "statement_timeout": f"{self.statement_seconds * 1000:.0f}",
            "idle_in_transaction_session_timeout": f"{self.idle_seconds * 1000:.0f}",
        }


class Watchdog:
    """Shuts connections whose statement has had no answer for too long."""

    def __init__(self, hung_seconds: float) -> None:
        """Start no thread yet: a process may fork before its first statement."""
        self._hung_seconds = hung_seconds
        self._asked: dict[int, tuple[float, Any]] = {}
        # Held while a socket is shut: whoever waits on it cannot have gone on to close it.
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
            event.listen(engine, name, self.answered)

    def close(self) -> None:
        """Stop looking."""
        self._closed.set()

    def check(self) -> None:
        """Refuse to go unwatched for long.

        Raises:
            Unavailable: the thread does not run.
        """
        self._thread.check()

    def ask(self, driver: Any) -> None:
        """A statement begins on this connection of the driver."""
        with self._mutex:
            self._asked[id(driver)] = (time.monotonic(), driver)
        # A server that hangs is rare; no statement is refused because nobody watches it.
        with suppress(Unavailable):
            self._thread.ensure()

    def answered(self, driver: Any, *_rest: Any) -> None:
        """It has ended, however."""
        with self._mutex:
            self._asked.pop(id(driver), None)

    def _on_connect(self, _driver: Any, record: Any) -> None:
        record.info[WATCHDOG] = self

    def _before_statement(self, _conn: Connection, cursor: Any, *_rest: Any) -> None:
        self.ask(cursor.connection)

    def _after_statement(self, _conn: Connection, cursor: Any, *_rest: Any) -> None:
        self.answered(cursor.connection)

    def _after_error(self, context: ExceptionContext) -> None:
        if context.execution_context is not None:
            self.answered(context.execution_context.cursor.connection)

    def _before_end(self, conn: Connection) -> None:
        # Answered when the connection is asked the next time, or goes back to its pool.
        if not conn.invalidated:
            self.ask(conn.connection.dbapi_connection)

    def _run(self) -> None:
        while not self._closed.wait(min(_LOOK_SECONDS, self._hung_seconds / 2)):
            with self._mutex:
                too_long = time.monotonic() - self._hung_seconds
                for key, (asked_at, driver) in list(self._asked.items()):
                    if asked_at < too_long:
                        _shut(driver)
                        del self._asked[key]


def _shut(driver: Any) -> None:
    """End both directions of the connection; its descriptor stays its own."""
    with suppress(OSError, psycopg2.Error), socket.socket(fileno=os.dup(driver.fileno())) as end:
        end.shutdown(socket.SHUT_RDWR)
