"""Connections: one pool for transactions, one for statements that commit by themselves."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg2
from prometheus_client import Gauge
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from staging_api import metrics
from staging_api.database_url import normalized
from staging_api.db.timeouts import WATCHDOG, Timeouts, Watchdog, tell
from staging_api.errors import ConnectionLost, Unavailable

#: Kernel and libpq give up on a dead peer within about 15 s; of a hung one see `db.timeouts`.
CONNECT_ARGS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    # A standby would answer that a lock is held which is free by now.
    "target_session_attrs": "read-write",
    "application_name": "staging_api",
}

_READ_ONLY = "25006"


@dataclass(frozen=True)
class Database:
    """The two ways to PostgreSQL; each process makes its own, after any fork.

    Attributes:
        transactions: BEGIN ... COMMIT, for what must be written together.
        statements: autocommit, one round trip each, for the lock and for lone reads.
        watchdog: ends what a hung server does not.
    """

    transactions: Engine
    statements: Engine
    watchdog: Watchdog | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed at the end of the block, rolled back by an exception.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with reachable(), self.transactions.begin() as conn:
            yield conn

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """A connection on which each statement commits by itself.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with reachable(), self.statements.connect() as conn:
            yield conn

    def check(self) -> None:
        """Refuse to go on without what ends hung statements.

        Raises:
            Unavailable: its thread does not run.
        """
        if self.watchdog is not None:
            self.watchdog.check()

    def close(self) -> None:
        """Close every connection that is not in use."""
        if self.watchdog is not None:
            self.watchdog.close()
        self.transactions.dispose()
        self.statements.dispose()


def open_database(url: str, pool_size: int, timeouts: Timeouts | None = None) -> Database:
    """Make the pools; connects when first used.

    Args:
        url: of the database; see `database_url`.
        pool_size: connections of each of the two pools.
        timeouts: of statements; None lets each take its time.
    """
    url = normalized(url)
    transactions = create_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=1800,
        connect_args=CONNECT_ARGS,
    )
    statements = create_engine(
        url,
        isolation_level="AUTOCOMMIT",
        # Nothing to roll back: saves a round trip each time a connection is handed back.
        pool_reset_on_return=None,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=10,
        pool_recycle=1800,
        connect_args=CONNECT_ARGS,
    )
    for engine in (transactions, statements):
        event.listen(engine, "handle_error", _leave_standby)
    for name, engine in (("transactions", transactions), ("statements", statements)):
        _count_connections(engine, metrics.DATABASE_CONNECTIONS.labels(name))
    watchdog = None if timeouts is None else _limited((transactions, statements), timeouts)
    return Database(transactions, statements, watchdog)


@contextmanager
def reachable() -> Iterator[None]:
    """Turn a database that cannot be reached into `Unavailable`; let other errors through.

    Raises:
        ConnectionLost: a connection that had been made broke.
        Unavailable: none can be made, or none is free.
    """
    try:
        yield
    except PoolTimeout:
        metrics.DATABASE_UNAVAILABLE.inc()
        raise Unavailable(
            "no database connection became free in time", retry_after_seconds=2
        ) from None
    except DBAPIError as error:
        if error.connection_invalidated:
            metrics.DATABASE_UNAVAILABLE.inc()
            raise ConnectionLost(
                "the connection to the database broke", retry_after_seconds=2
            ) from error
        if isinstance(error, OperationalError):
            metrics.DATABASE_UNAVAILABLE.inc()
            raise Unavailable("the database cannot be reached", retry_after_seconds=5) from error
        raise


def call(conn: Connection, statement: str, given: Sequence[object]) -> tuple[Any, ...]:
    """The one row that a statement answers; see `rows`."""
    (row,) = rows(conn, statement, given)
    return row


def rows(
    conn: Connection, statement: str, given: Sequence[object] | Mapping[str, object]
) -> list[tuple[Any, ...]]:
    """The rows that a statement answers; sent by the driver's own cursor.

    For statements that are sent often: SQLAlchemy describes each result anew, column by column,
    which takes longer than to acquire a lock.

    Raises:
        DBAPIError: as `Connection.exec_driver_sql` raises it.
    """
    driver: Any = conn.connection.driver_connection
    # SQLAlchemy's events, by which it sees all other statements, are not sent for this one.
    watchdog: Watchdog | None = conn.info.get(WATCHDOG)
    if watchdog is not None:
        watchdog.ask(driver)
    try:
        with driver.cursor() as cursor:
            cursor.execute(statement, given)
            found: list[tuple[Any, ...]] = cursor.fetchall()
            return found
    except psycopg2.Error as error:
        lost = bool(driver.closed) or error.pgcode == _READ_ONLY
        if lost:
            conn.invalidate(error)
            conn.engine.dispose()  # the others lead to the same server
        raise DBAPIError.instance(
            statement, None, error, psycopg2.Error, connection_invalidated=lost
        ) from error
    finally:
        if watchdog is not None:
            watchdog.answered(driver)


def _limited(engines: Sequence[Engine], timeouts: Timeouts) -> Watchdog:
    watchdog = Watchdog(timeouts.hung_seconds)
    for engine in engines:
        watchdog.watch(engine)
        if timeouts.told:
            tell(engine, timeouts)
    return watchdog


def _count_connections(engine: Engine, used: Gauge) -> None:
    event.listen(engine, "checkout", lambda *_: used.inc())
    event.listen(engine, "checkin", lambda *_: used.dec())


def _leave_standby(context: ExceptionContext) -> None:
    """Drop a connection that a pooler led to a standby, so that the next finds the primary."""
    if getattr(context.original_exception, "pgcode", None) == _READ_ONLY:
        context.is_disconnect = True
