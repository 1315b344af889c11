"""Connections for the most frequent reads, kept outside the pool between two reads.

Taking a connection from SQLAlchemy's pool and returning it takes as long as one of these reads. So
a few of the pool's connections are kept here. The first read after a second returns them, so that
the pool can renew them; without reads they stay. The pool is smaller by their number for all other
users, and a pool of fewer than four keeps none here.

What if the server goes away? The first statement that fails, here or elsewhere, disposes of the
engine, which closes the kept connections. What if the process dies? Its connections end.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psycopg2
from sqlalchemy import Engine, Pool, PoolProxiedConnection, event

from staging_api.db.driver_cursor import answer_of, as_sqlalchemy, is_lost
from staging_api.db.timeouts import WATCHDOG, Watchdog

#: Parameters of a statement, in order or by name.
Given = Sequence[object] | Mapping[str, object]

_KEPT_SECONDS = 1.0
# At most one of this many connections of a pool is kept.
_SHARE = 4


class ReadConnections:
    """The kept connections of one pool."""

    def __init__(
        self, engine: Engine, pool_size: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep connections of `engine`, whose pool has `pool_size` of them, in autocommit mode."""
        self._engine = engine
        self._now = now
        self._most = pool_size // _SHARE
        self._idle: deque[_KeptConnection] = deque()
        # A statement that finds the server gone disposes of the engine.
        event.listen(engine, "engine_disposed", lambda _engine: self.close())

    def rows(self, statement: str, given: Given) -> list[tuple[Any, ...]]:
        """Return the rows of one statement; see `named_rows`."""
        return self.named_rows(statement, given)[1]

    def named_rows(
        self, statement: str, given: Given
    ) -> tuple[Sequence[str], list[tuple[Any, ...]]]:
        """Return the columns and rows of one statement, which commits by itself.

        Raises:
            DBAPIError: a driver error, wrapped as SQLAlchemy does.
            sqlalchemy.exc.TimeoutError: no connection became free in time.
        """
        kept = self._take()
        driver, watchdog = kept.driver, kept.watchdog
        if watchdog is not None:
            watchdog.begin(driver)
        try:
            with driver.cursor() as cursor:
                cursor.execute(statement, given)
                found = answer_of(cursor)
        except psycopg2.Error as error:
            if lost := is_lost(driver, error):
                kept.pooled.invalidate(error)
                self._engine.dispose()  # the other connections lead to the same server
            raise as_sqlalchemy(statement, error, lost=lost) from error
        finally:
            if watchdog is not None:
                watchdog.end(driver)
            self._give_back(kept)
        return found

    def close(self) -> None:
        """Return the idle connections to the pool."""
        while self._idle:
            self._idle.pop().pooled.close()

    def _take(self) -> "_KeptConnection":
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._taken()
        if kept.until > self._now():
            return kept
        kept.pooled.close()
        return self._taken()

    def _taken(self) -> "_KeptConnection":
        """Take a connection from the pool, which renews old ones and makes new ones."""
        pool = self._engine.pool
        try:
            pooled = self._engine.raw_connection()
        except psycopg2.Error as error:
            lost = self._engine.dialect.is_disconnect(cast("Any", error), None, None)
            raise as_sqlalchemy(None, error, lost=lost) from error
        return _KeptConnection(
            pool,
            pooled,
            pooled.driver_connection,
            pooled.info.get(WATCHDOG),
            self._now() + _KEPT_SECONDS,
        )

    def _give_back(self, kept: "_KeptConnection") -> None:
        # Two threads may both see one free slot; then one connection too many is kept.
        if len(self._idle) < self._most and kept.pool is self._engine.pool:
            self._idle.append(kept)
        else:
            kept.pooled.close()


@dataclass(slots=True)
class _KeptConnection:
    """A connection that is taken from the pool.

    Attributes:
        pool: the pool of the connection; an engine gets a new pool when it is disposed of.
        until: when to return the connection, by the monotonic clock.
    """

    pool: Pool
    pooled: PoolProxiedConnection
    driver: Any
    watchdog: Watchdog | None
    until: float
