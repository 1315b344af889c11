"""Translate database errors by their SQLSTATE.

A driver calls many errors operational. A lock time-out, a conflict of two transactions, a full disk
and a wrong password need different reactions, and only an outage counts as one.

If the server refuses a new connection, the error has no SQLSTATE in this driver, only libpq's
message, in the server's language. Whether a server answered at all is recognized in every language,
the reason of a refusal only in English; for other languages, the log has the message.
"""

import logging
import re
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.exc import DBAPIError, OperationalError

from staging_api import metrics
from staging_api.errors import ConnectionLost, DatabaseBusy, DatabaseRefused, Unavailable

log = logging.getLogger(__name__)

Meaning = Callable[[], Unavailable]


def _busy(detail: str, seconds: float) -> Meaning:
    return lambda: DatabaseBusy(detail, retry_after_seconds=seconds)


def _refused(detail: str) -> Meaning:
    return lambda: DatabaseRefused(detail, retry_after_seconds=30)


def _unreachable(detail: str = "the database cannot be reached") -> Meaning:
    return lambda: Unavailable(detail, retry_after_seconds=5)


_CREDENTIALS = _refused("the database refuses the credentials of STAGING_DATABASE_URL")
_NO_DATABASE = _refused("the server has no such database as STAGING_DATABASE_URL names")
_NO_PERMISSION = _refused("the role of STAGING_DATABASE_URL lacks a permission in the database")
_NO_CONNECTION = _busy("the database has no connection left for this process", 5)
_STARTING = _unreachable("the database is starting up or shutting down")
_TOO_LONG = _busy("the database ended a transaction that took too long; nothing of it was done", 2)

#: Meaning of a SQLSTATE, or of its class, the first two characters.
_MEANINGS: Mapping[str, Meaning] = {
    "55P03": _busy("another transaction is in the way; it did not end in time", 1),
    "57014": _busy("the database ended a statement that took too long", 2),
    "25P03": _TOO_LONG,
    "25P04": _TOO_LONG,
    "40": _busy("two transactions were in each other's way, and the other one was done", 1),
    "53100": _busy("the disk of the database is full", 60),
    "53300": _NO_CONNECTION,
    "53": _busy("the database is short of memory or of another resource", 10),
    "28": _CREDENTIALS,
    "3D000": _NO_DATABASE,
    "42501": _NO_PERMISSION,
    "57P03": _STARTING,
    "57": _unreachable("the database is being shut down or restarted"),
    "58": _unreachable("the database reports a fault of its machine"),
    "08": _unreachable(),
}
#: Patterns of refusals without a SQLSTATE, as an English server words them.
_MESSAGES: Mapping[str, Meaning] = {
    "password authentication failed": _CREDENTIALS,
    "authentication failed": _CREDENTIALS,
    "no password supplied": _CREDENTIALS,
    "no pg_hba.conf entry": _CREDENTIALS,
    "pg_hba.conf rejects": _CREDENTIALS,
    "role .* does not exist": _CREDENTIALS,
    "is not permitted to log in": _CREDENTIALS,
    "database .* does not exist": _NO_DATABASE,
    "permission denied for database": _CREDENTIALS,
    "not currently accepting connections": _refused("the database accepts no connections"),
    "too many (clients|connections)": _NO_CONNECTION,
    "connection slots are reserved": _NO_CONNECTION,
    "the database system is": _STARTING,
    "server is in hot standby mode": _unreachable("no server of STAGING_DATABASE_URL is a primary"),
}
# libpq writes the severity that the server sent, in the server's language, a colon and two spaces.
_SERVER_ANSWERED = re.compile(r"\S+:  \S")


def translated(error: DBAPIError) -> Unavailable | None:
    """Return our error, logged and counted; None if the database's state is not the cause."""
    code = getattr(error.orig, "pgcode", None)
    found = _found(error, code)
    if found is None:
        return None
    # The note is shown to an operator at a terminal; clients of the API do not get the server's
    # message.
    found.add_note(_line(error))
    if isinstance(found, DatabaseBusy | DatabaseRefused):
        log.warning("%s (SQLSTATE %s): %s", found.detail, code, _line(error))
    else:
        metrics.DATABASE_UNAVAILABLE.inc()
    return found


def _found(error: DBAPIError, code: str | None) -> Unavailable | None:
    named = None if code is None else _MEANINGS.get(code) or _MEANINGS.get(code[:2])
    # The server closes the connection of a transaction that was idle too long; this is no outage.
    if error.connection_invalidated and named is not _TOO_LONG:
        return ConnectionLost("the connection to the database broke", retry_after_seconds=2)
    if named is not None:
        return named()
    if not isinstance(error, OperationalError):
        return None
    if code is not None:
        return Unavailable(f"the database failed with SQLSTATE {code}", retry_after_seconds=5)
    return _by_message(str(error.orig))()


def _by_message(text: str) -> Meaning:
    for words, meaning in _MESSAGES.items():
        if re.search(words, text):
            return meaning
    if _SERVER_ANSWERED.search(text):
        return _refused("the database answers, and refuses the connection; the log has its words")
    return _unreachable()


def _line(error: DBAPIError) -> str:
    said: Any = error.orig
    return str(said).strip().partition("\n")[0]
