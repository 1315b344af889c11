"""Statements that need a lock which others may hold for long: short waits, and several of them.

Whoever waits for a strong lock on a table holds up everybody who comes after. Functions that need
one give up after a moment (``lock_timeout``); here they are tried again, after a pause in which the
others are served. What nobody could do in the end is left to the caller's next turn.
"""

import random
import time
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

_TRIES = 8
_PAUSE_SECONDS = (0.1, 0.4)
# lock_not_available, deadlock_detected
_IN_THE_WAY = frozenset({"55P03", "40P01"})


def patiently(conn: Connection, statement: str, given: Sequence[object]) -> list[Any]:
    """The first column of what a statement answers, which is whole by itself.

    Args:
        conn: commits by itself; a connection for this alone, as it may take a few seconds.
        statement: for the driver, with placeholders for `given`.
        given: the values of the placeholders, in order.

    Raises:
        DBAPIError: it failed, or others were in the way at each try.
    """
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            return list(conn.exec_driver_sql(statement, tuple(given)).scalars())
        except DBAPIError as error:
            if last or getattr(error.orig, "pgcode", None) not in _IN_THE_WAY:
                raise
        time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - nothing secret
    raise AssertionError("unreachable")
