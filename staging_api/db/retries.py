"""Retry statements that need a strong table lock: several short waits instead of a long one.

A session that waits for a strong lock on a table blocks all later sessions. Functions that need
such a lock give up after a moment (``lock_timeout``). This module retries them, after a pause in
which other sessions are served. After the last failure, the caller tries again in its next turn.
The loop is written here because a retry library would need as many lines to recognize the
SQLSTATEs.
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
_BLOCKED_CODES = frozenset({"55P03", "40P01"})


def retried_when_blocked(conn: Connection, statement: str, given: Sequence[object]) -> list[Any]:
    """Return the first column of a statement's rows, retrying while other sessions block it.

    Args:
        conn: autocommit connection, used for this statement alone: it may take a few seconds.
        statement: for the driver, with placeholders.
        given: the values of the placeholders, in order.

    Raises:
        DBAPIError: the statement failed, or other sessions blocked each attempt.
    """
    for last in [False] * (_TRIES - 1) + [True]:
        try:
            return list(conn.exec_driver_sql(statement, tuple(given)).scalars())
        except DBAPIError as error:
            if last or getattr(error.orig, "pgcode", None) not in _BLOCKED_CODES:
                raise
        time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - nothing secret
    raise AssertionError("unreachable")
