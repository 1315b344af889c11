"""Connection pools: one for transactions, one for statements that commit by themselves."""

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NoReturn

from prometheus_client import Gauge
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from staging_api import metrics
from staging_api.database_url import normalized
from staging_api.db.driver_cursor import answer_of, driver_cursor, is_of_standby
from staging_api.db.driver_errors import translated
from staging_api.db.plain_connection import PlainConnection, Statements
from staging_api.db.read_connections import Given, ReadConnections
from staging_api.db.sessions import Session
from staging_api.db.timeouts import Timeouts, Watchdog
from staging_api.errors import NoConnectionFree


@dataclass(frozen=True)
class Database:
    """The two connection pools; each process makes its own, after any fork.

    Attributes:
        transactions: BEGIN ... COMMIT, for rows that must be written together.
        statements: autocommit, one round trip each, for the lock and for single reads.
        reads: connections of `statements`, for the most frequent reads.
        watchdog: ends statements that a hung server does not end.
    """

    transactions: Engine
    statements: Engine
    reads: ReadConnections
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

    @contextmanager
    def plain_connection(self) -> Iterator[PlainConnection]:
        """Execute statements that commit by themselves, as `connect`, in a fraction of its time.

        Intended for work of many short statements, such as a publisher run.

        Raises:
            Unavailable: the database cannot be reached.
        """
        with reachable():
            yield PlainConnection(self.reads.named_rows)

    def read(self, statement: str, given: Given) -> list[tuple[Any, ...]]:
        """Return the rows of one statement that commits by itself, as `rows` does.

        Intended for the most frequent reads: see `db.read_connections`.

        Raises:
            Unavailable: the database cannot be reached.
        """
        try:
            return self.reads.rows(statement, given)
        except (PoolTimeout, DBAPIError) as error:
            _raise_meaning(error)

    @property
    def engines(self) -> tuple[Engine, Engine]:
        """Both engines, for tracing."""
        return self.transactions, self.statements

    def check(self) -> None:
        """Check that the watchdog, which ends hung statements, runs.

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
    """Create the pools, which connect on first use.

    Args:
        url: URL of the database; see `database_url`.
        pool_size: number of connections of each pool.
        timeouts: limits of statements and transactions; None: no limit.
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
    # Each BEGIN names its isolation level: behind a pooler, a session setting would be lost.
    transactions = create_engine(url, isolation_level="READ COMMITTED", **common)
    # Nothing to roll back: this saves a round trip each time a connection returns to the pool.
    statements = create_engine(
        url, isolation_level="AUTOCOMMIT", pool_reset_on_return=None, **common
    )
    watchdog = None if timeouts is None else Watchdog(timeouts.hung_seconds)
    for name, engine in (("transactions", transactions), ("statements", statements)):
        session.prepare(engine)
        event.listen(engine, "handle_error", _leave_standby)
        _count_connections(engine, metrics.DATABASE_CONNECTIONS.labels(name))
        if watchdog is not None:
            watchdog.watch(engine)
    return Database(transactions, statements, ReadConnections(statements, pool_size), watchdog)


@contextmanager
def reachable() -> Iterator[None]:
    """Translate temporary database errors to `Unavailable` and its subclasses; pass on others.

    Raises:
        ConnectionLost: an existing connection broke.
        DatabaseBusy: another transaction, or a lack of resources, blocks the database for a moment.
        DatabaseRefused: the configuration of the database refuses the service.
        NoConnectionFree: all connections are in use.
        Unavailable: no connection can be made.
    """
    try:
        yield
    except (PoolTimeout, DBAPIError) as error:
        _raise_meaning(error)


def call(conn: Connection, statement: str, given: Sequence[object]) -> tuple[Any, ...]:
    """Return the only row of a statement; see `rows`."""
    (row,) = rows(conn, statement, given)
    return row


def rows(conn: Connection, statement: str, given: Given) -> list[tuple[Any, ...]]:
    """Return the rows of a statement, sent by the driver's own cursor.

    For frequent statements: SQLAlchemy describes the columns of each result again, which takes
    longer than acquiring a lock.

    Raises:
        DBAPIError: as `Connection.exec_driver_sql` raises it.
    """
    return named_rows(conn, statement, given)[1]


def named_rows(
    conn: Connection, statement: str, given: Given
) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """Return the names of the columns, and the rows, as `rows` does."""
    with driver_cursor(conn, statement) as cursor:
        cursor.execute(statement, given)
        return answer_of(cursor)


def plain_connection_of(conn: Statements) -> PlainConnection:
    """Return a connection whose statements the driver sends, in the same transaction if any."""
    if isinstance(conn, PlainConnection):
        return conn
    return PlainConnection(partial(named_rows, conn))


def database_time(conn: Connection) -> datetime:
    """Return the time by the database's clock, which dates all rows."""
    found: datetime = conn.execute(text("SELECT clock_timestamp()")).scalar_one()
    return found


def copy_rows(conn: Connection, statement: str, lines: str) -> None:
    """Send rows to a ``COPY ... FROM STDIN``, in its text format.

    Raises:
        DBAPIError: as `Connection.exec_driver_sql` raises it.
    """
    with driver_cursor(conn, statement) as cursor:
        cursor.copy_expert(statement, io.StringIO(lines))


def _raise_meaning(error: PoolTimeout | DBAPIError) -> NoReturn:
    """Raise the translated error; the original error if it is not a temporary one."""
    if isinstance(error, PoolTimeout):
        metrics.DATABASE_UNAVAILABLE.inc()
        raise NoConnectionFree(
            "no database connection became free in time", retry_after_seconds=2
        ) from None
    meaning = translated(error)
    if meaning is None:
        raise error
    raise meaning from error


def _session(url: str, timeouts: Timeouts | None) -> Session:
    if timeouts is None:
        return Session(url, {})
    return Session(url, timeouts.settings, pooled=not timeouts.sent)


def _count_connections(engine: Engine, used: Gauge) -> None:
    event.listen(engine, "checkout", lambda *_: used.inc())
    event.listen(engine, "checkin", lambda *_: used.dec())


def _leave_standby(context: ExceptionContext) -> None:
    """Drop a connection that leads to a standby, so that the next one finds the primary."""
    if is_of_standby(context.original_exception):
        context.is_disconnect = True
