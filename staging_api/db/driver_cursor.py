"""The driver's own cursor, without the work that SQLAlchemy adds to each statement."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from staging_api.db.timeouts import WATCHDOG, Watchdog

_READ_ONLY = "25006"
# An error of these classes that the server reported has a SQLSTATE. Without one, no server
# answered, whatever the language of libpq's message; the driver does not always note that its
# connection is closed.
_OF_SERVER = (psycopg2.DatabaseError, psycopg2.OperationalError)


@contextmanager
def driver_cursor(conn: Connection, statement: str) -> Iterator[Any]:
    """Open a cursor for one statement.

    Raises:
        DBAPIError: a driver error, wrapped as SQLAlchemy does.
    """
    driver: Any = conn.connection.driver_connection
    # This statement bypasses SQLAlchemy's events, which notify the watchdog of all others.
    watchdog: Watchdog | None = conn.info.get(WATCHDOG)
    if watchdog is not None:
        watchdog.begin(driver)
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg2.Error as error:
        if lost := is_lost(driver, error):
            conn.invalidate(error)
            conn.engine.dispose()  # the other connections lead to the same server
        raise as_sqlalchemy(statement, error, lost=lost) from error
    finally:
        if watchdog is not None:
            watchdog.end(driver)


def answer_of(cursor: Any) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
    """Return the names of the columns, and the rows, of the statement that a cursor has sent."""
    names = [column[0] for column in cursor.description or ()]
    return names, cursor.fetchall() if names else []


def is_lost(driver: Any, error: psycopg2.Error) -> bool:
    """Return whether a connection is useless after an error: broken, or to a standby."""
    unanswered = type(error) in _OF_SERVER and error.pgcode is None
    return bool(driver.closed) or unanswered or is_of_standby(error)


def is_of_standby(error: object) -> bool:
    """Return whether an error says that the server is read-only, as a standby is."""
    return getattr(error, "pgcode", None) == _READ_ONLY


def as_sqlalchemy(statement: str | None, error: psycopg2.Error, *, lost: bool) -> Exception:
    """Return a driver error wrapped in SQLAlchemy's class for it."""
    found: Exception = DBAPIError.instance(
        statement, None, error, psycopg2.Error, connection_invalidated=lost
    )
    return found
