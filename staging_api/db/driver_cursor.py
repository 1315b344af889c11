"""The driver's own cursor, without what SQLAlchemy does around a statement."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from staging_api.db.timeouts import WATCHDOG, Watchdog

_READ_ONLY = "25006"
# The driver's errors of these kinds have the SQLSTATE of a server. Without one there was no answer,
# whatever libpq says of it in its language; the driver does not always note that it is closed.
_OF_SERVER = (psycopg2.DatabaseError, psycopg2.OperationalError)


@contextmanager
def driver_cursor(conn: Connection, statement: str) -> Iterator[Any]:
    """Open a cursor for one statement.

    Raises:
        DBAPIError: as SQLAlchemy raises what the driver does.
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


def is_lost(driver: Any, error: psycopg2.Error) -> bool:
    """Whether a connection is of no use after an error: broken, or to a standby."""
    unanswered = type(error) in _OF_SERVER and error.pgcode is None
    return bool(driver.closed) or unanswered or is_of_standby(error)


def is_of_standby(error: object) -> bool:
    """Whether an error says that this server only reads."""
    return getattr(error, "pgcode", None) == _READ_ONLY


def as_sqlalchemy(statement: str | None, error: psycopg2.Error, *, lost: bool) -> Exception:
    """Return an error of the driver as SQLAlchemy raises it."""
    found: Exception = DBAPIError.instance(
        statement, None, error, psycopg2.Error, connection_invalidated=lost
    )
    return found
