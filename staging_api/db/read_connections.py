"""Connections for reads that clients repeat all day, which stay out of the pool between two reads.

Taking a connection from SQLAlchemy's pool and giving it back takes as long as such a read. So a few
of the pool's connections are kept here. The first read after a second gives them back, so that the
pool may renew them; without reads they stay. Others find the pool smaller by as many, and a pool of
fewer than four keeps none.

What if the server goes away? The first statement that fails, here or elsewhere, disposes of the
engine, and the connections that are kept are closed with it. What if the process dies? Its
connections end.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import psycopg2
from sqlalchemy import Engine, Pool, PoolProxiedConnection, event

from staging_api.db.driver_cursor import as_sqlalchemy, is_lost
from staging_api.db.timeouts import WATCHDOG, Watchdog

#: Parameters of a statement, in order or by name.
Given = Sequence[object] | Mapping[str, object]

_KEPT_SECONDS = 1.0
# Of a pool's connections, one in so many may be kept.
_SHARE = 4


class ReadConnections:
    """The connections of one pool that are kept."""

    def __init__(
        self, engine: Engine, pool_size: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Take connections from `engine`, whose pool has so many and makes them by autocommit."""
        self._engine = engine
        self._now = now
        self._most = pool_size // _SHARE
        self._idle: deque[_Kept] = deque()
        # A statement that finds the server gone disposes of the engine.
        event.listen(engine, "engine_disposed", lambda _engine: self.close())

    def rows(self, statement: str, given: Given) -> list[tuple[Any, ...]]:
        """Return the rows of one statement, which commits by itself.

        Raises:
            DBAPIError: as SQLAlchemy raises what the driver does.
            sqlalchemy.exc.TimeoutError: no connection became free in time.
        """
        kept = self._take()
        driver, watchdog = kept.driver, kept.watchdog
        if watchdog is not None:
            watchdog.begin(driver)
        try:
            with driver.cursor() as cursor:
                cursor.execute(statement, given)
                found: list[tuple[Any, ...]] = cursor.fetchall()
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
        """Give back to the pool what no read uses."""
        while self._idle:
            self._idle.pop().pooled.close()

    def _take(self) -> "_Kept":
        try:
            kept = self._idle.pop()
        except IndexError:
            return self._taken()
        if kept.until > self._now():
            return kept
        kept.pooled.close()
        return self._taken()

    def _taken(self) -> "_Kept":
        """Take a connection from the pool, which looks whether it is old, or makes a new one."""
        pool = self._engine.pool
        try:
            pooled = self._engine.raw_connection()
        except psycopg2.Error as error:
            lost = self._engine.dialect.is_disconnect(cast("Any", error), None, None)
            raise as_sqlalchemy(None, error, lost=lost) from error
        return _Kept(
            pool,
            pooled,
            pooled.driver_connection,
            pooled.info.get(WATCHDOG),
            self._now() + _KEPT_SECONDS,
        )

    def _give_back(self, kept: "_Kept") -> None:
        # Two threads may both see room for the last one: then one more is kept than should be.
        if len(self._idle) < self._most and kept.pool is self._engine.pool:
            self._idle.append(kept)
        else:
            kept.pooled.close()


@dataclass(slots=True)
class _Kept:
    """A connection that is taken from the pool.

    Attributes:
        pool: which it is from; an engine that was disposed of has another.
        until: when it is to be given back, by the monotonic clock.
    """

    pool: Pool
    pooled: PoolProxiedConnection
    driver: Any
    watchdog: Watchdog | None
    until: float
