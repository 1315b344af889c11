"""Connections: one pool for transactions, one for statements that commit by themselves."""

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import psycopg2
from prometheus_client import Gauge
from sqlalchemy import (
    Connection,
    Engine,
    ExceptionContext,
    PoolProxiedConnection,
    create_engine,
    event,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from staging_api import metrics
from staging_api.database_url import normalized
from staging_api.db.driver_errors import translated
from staging_api.db.sessions import Session
from staging_api.db.timeouts import WATCHDOG, Timeouts, Watchdog
from staging_api.errors import NoConnectionFree

_READ_ONLY = "25006"


@dataclass(frozen=True)
class Database:
    """The two pools of connections; each process makes its own, after any fork.

    Attributes:
        transactions: BEGIN ... COMMIT, for what must be written together.
        statements: autocommit, one round trip each, for the lock and for single reads.
        watchdog: ends statements that a hung server does not end.
    """

    transactions: Engine
    statements: Engine
    watchdog: Watchdog | None = None

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction: committed at the end of the block, rolled back by an exception.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with reachable(), self.transactions.begin() as conn:
            yield conn

    @contextmanager
    def connect(self) -> Iterator[Connection]:
        """Open a connection on which each statement commits by itself.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with reachable(), self.statements.connect() as conn:
            yield conn

    def read(
        self, statement: str, given: Sequence[object] | Mapping[str, object]
    ) -> list[tuple[Any, ...]]:
        """Return the rows of one statement that commits by itself, as `rows` does.

        For reads that clients repeat all day: a connection of SQLAlchemy, with its transactions
        and events, takes longer to make than such a statement to run.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with reachable():
            pooled = _taken(self.statements)
            try:
                with _cursor(_Pooled(self.statements, pooled), statement) as cursor:
                    cursor.execute(statement, given)
                    found: list[tuple[Any, ...]] = cursor.fetchall()
                    return found
            finally:
                pooled.close()

    @property
    def engines(self) -> tuple[Engine, Engine]:
        """Both engines, for tracing."""
        return self.transactions, self.statements

    def check(self) -> None:
        """Check that hung statements would be ended.

        Raises:
            Unavailable: the watchdog's thread does not run.
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
    """Make the pools; they connect when first used.

    Args:
        url: of the database; see `database_url`.
        pool_size: connections of each of the two pools.
        timeouts: of statements; None: no limit.
    """
    url = normalized(url)
    session = _session(url, timeouts)
    common: dict[str, Any] = {
        "pool_size": pool_size,
        "max_overflow": 0,
        "pool_timeout": 10,
        "pool_recycle": 1800,
        "connect_args": session.arguments,
    }
    # Each BEGIN names its isolation level: behind a pooler a session setting would not hold.
    transactions = create_engine(url, isolation_level="READ COMMITTED", **common)
    # Nothing to roll back: saves a round trip each time a connection returns to the pool.
    statements = create_engine(
        url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **common
    )
    for engine in (transactions, statements):
        session.prepare(engine)
        event.listen(engine, "handle_error", _leave_standby)
    for name, engine in (("transactions", transactions), ("statements", statements)):
        _count_connections(engine, metrics.DATABASE_CONNECTIONS.labels(name))
    watchdog = None if timeouts is None else _limited((transactions, statements), timeouts)
    return Database(transactions, statements, watchdog)


@contextmanager
def reachable() -> Iterator[None]:
    """Translate what the database cannot do just now into `Unavailable`; pass other errors on.

    Raises:
        ConnectionLost: an existing connection broke.
        DatabaseBusy: another transaction blocks it for a moment.
        DatabaseRefused: its configuration does not let us work.
        NoConnectionFree: all are in use.
        Unavailable: no connection can be made.
    """
    try:
        yield
    except PoolTimeout:
        metrics.DATABASE_UNAVAILABLE.inc()
        raise NoConnectionFree(
            "no database connection became free in time", retry_after_seconds=2
        ) from None
    except DBAPIError as error:
        meaning = translated(error)
        if meaning is None:
            raise
        raise meaning from error


def call(conn: Connection, statement: str, given: Sequence[object]) -> tuple[Any, ...]:
    """Return the one row of a statement; see `rows`."""
    (row,) = rows(conn, statement, given)
    return row


def rows(
    conn: Connection, statement: str, given: Sequence[object] | Mapping[str, object]
) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, sent by the driver's own cursor.

    For frequent statements: SQLAlchemy describes each result anew, column by column, which takes
    longer than to acquire a lock.

    Raises:
        DBAPIError: as `Connection.exec_driver_sql` raises it.
    """
    with _cursor(conn, statement) as cursor:
        cursor.execute(statement, given)
        found: list[tuple[Any, ...]] = cursor.fetchall()
        return found


def copy_rows(conn: Connection, statement: str, lines: str) -> None:
    """Send rows to a ``COPY ... FROM STDIN``, in its text format.

    Raises:
        DBAPIError: as `Connection.exec_driver_sql` raises it.
    """
    with _cursor(conn, statement) as cursor:
        cursor.copy_expert(statement, io.StringIO(lines))


def _taken(engine: Engine) -> PoolProxiedConnection:
    try:
        return engine.raw_connection()
    except psycopg2.Error as error:
        lost = engine.dialect.is_disconnect(cast("Any", error), None, None)
        raise DBAPIError.instance(
            None, None, error, psycopg2.Error, connection_invalidated=lost
        ) from error


@dataclass(frozen=True)
class _Pooled:
    """A connection of the pool, with as much of SQLAlchemy's as a cursor needs."""

    engine: Engine
    connection: PoolProxiedConnection

    @property
    def info(self) -> dict[Any, Any]:
        """What is noted of the driver's connection."""
        return self.connection.info

    def invalidate(self, error: BaseException) -> None:
        """Let it be used by nobody else."""
        self.connection.invalidate(error)


@contextmanager
def _cursor(conn: Connection | _Pooled, statement: str) -> Iterator[Any]:
    """The driver's own cursor, for one statement."""
    driver: Any = conn.connection.driver_connection
    # This statement bypasses SQLAlchemy's events, which notify the watchdog of all others.
    watchdog: Watchdog | None = conn.info.get(WATCHDOG)
    if watchdog is not None:
        watchdog.begin(driver)
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg2.Error as error:
        lost = bool(driver.closed) or error.pgcode == _READ_ONLY
        if lost:
            conn.invalidate(error)
            conn.engine.dispose()  # the other connections lead to the same server
        raise DBAPIError.instance(
            statement, None, error, psycopg2.Error, connection_invalidated=lost
        ) from error
    finally:
        if watchdog is not None:
            watchdog.end(driver)


def _limited(engines: Sequence[Engine], timeouts: Timeouts) -> Watchdog:
    watchdog = Watchdog(timeouts.hung_seconds)
    for engine in engines:
        watchdog.watch(engine)
    return watchdog


def _session(url: str, timeouts: Timeouts | None) -> Session:
    if timeouts is None:
        return Session(url, {})
    return Session(url, timeouts.settings, pooled=not timeouts.sent)


def _count_connections(engine: Engine, used: Gauge) -> None:
    event.listen(engine, "checkout", lambda *_: used.inc())
    event.listen(engine, "checkin", lambda *_: used.dec())


def _leave_standby(context: ExceptionContext) -> None:
    """Drop a connection that a pooler led to a standby, so that the next one finds the primary."""
    if getattr(context.original_exception, "pgcode", None) == _READ_ONLY:
        context.is_disconnect = True
