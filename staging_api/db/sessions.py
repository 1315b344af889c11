"""Give every connection the session settings that the service relies on.

The guarantees of the lock and of the record depend on settings that the owner of the role may
change: with ``repeatable read`` two of three requests fail, with ``extra_float_digits = -15`` two
seconds of a lease read as twenty. So each connection sends its settings with the first packet,
before any statement could run with other values, and then reads the values back.

Behind a pooler in transaction mode, each transaction has another session, so no setting would last.
There the values are only read, and the connection is refused if a value is not safe. If a pooler
rejects settings in the first packet, the connection is made without them.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import psycopg2
from psycopg2.errors import InsufficientPrivilege
from sqlalchemy import Engine, event, make_url

from staging_api.errors import DatabaseRefused

#: Kernel and libpq give up on a dead peer within about 15 s; for a hung one see `db.timeouts`.
CONNECT_ARGS: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    # A standby would report locks as held that are free by now. Not "read-write": on a primary
    # whose role is read-only by default, the service sets the session to write.
    "target_session_attrs": "primary",
    "client_encoding": "utf8",
    "application_name": "staging_api",
}

_READ = "SELECT name, setting FROM pg_catalog.pg_settings WHERE name = ANY(%s)"
_SET = "SELECT pg_catalog.set_config(%s, %s, false)"
# The English message by which PgBouncer refuses an unknown startup parameter.
_NOT_TAKEN = "unsupported startup parameter"
_LEAST_TIMEOUT_MS = 1000


def _exactly(wanted: str) -> Callable[[str], bool]:
    return lambda found: found == wanted


def _durable(found: str) -> bool:
    return found in {"on", "remote_apply"}


def _whole(found: str) -> bool:
    return int(found) >= 0


def _patient(found: str) -> bool:
    return not 0 < int(found) < _LEAST_TIMEOUT_MS


def _any(_found: str) -> bool:
    return True


@dataclass(frozen=True)
class Setting:
    """A required session setting.

    Attributes:
        value: as ``pg_settings`` shows it.
        safe: returns whether another value is acceptable where it cannot be changed.
        early: whether to send it with the first packet; False if some servers do not know the
            setting, or let only superusers set it.
    """

    value: str
    safe: Callable[[str], bool] = _any
    early: bool = True


#: Every session setting on which the lock, the record or the parsing of results depends.
SETTINGS: Mapping[str, Setting] = {
    # Isolation and permissions of statements.
    "default_transaction_isolation": Setting("read committed", _exactly("read committed")),
    "default_transaction_read_only": Setting("off", _exactly("off")),
    "default_transaction_deferrable": Setting("off"),
    "session_replication_role": Setting("origin", _exactly("origin"), early=False),
    "row_security": Setting("on"),
    "search_path": Setting("public, pg_temp"),
    "restrict_nonsystem_relation_kind": Setting("", _exactly(""), early=False),
    # Durability of commits.
    "synchronous_commit": Setting("on", _durable),
    # Parsing of statements and format of results.
    "standard_conforming_strings": Setting("on", _exactly("on")),
    "transform_null_equals": Setting("off"),
    "array_nulls": Setting("on"),
    "client_encoding": Setting("UTF8", _exactly("UTF8"), early=False),
    "client_min_messages": Setting("warning"),
    "TimeZone": Setting("UTC"),
    "DateStyle": Setting("ISO, MDY"),
    "IntervalStyle": Setting("postgres"),
    "bytea_output": Setting("hex"),
    "extra_float_digits": Setting("1", _whole),
    # Time-outs; see `db.timeouts`.
    "statement_timeout": Setting("0", _patient),
    "lock_timeout": Setting("0", _patient),
    "idle_in_transaction_session_timeout": Setting("0", _patient),
    "idle_session_timeout": Setting("0", _patient, early=False),
    "transaction_timeout": Setting("0", _patient, early=False),
}


@dataclass(frozen=True)
class Session:
    """The connection parameters of one database.

    Attributes:
        url: URL of the database, for SQLAlchemy.
        values: values of settings that differ from `SETTINGS`.
        pooled: whether a pooler in transaction mode is in between, so that nothing can be set.
    """

    url: str
    values: Mapping[str, str]
    pooled: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments for `psycopg2.connect`, in addition to the URL."""
        if self.pooled:
            return CONNECT_ARGS
        given = make_url(self.url).query.get("options", "")
        given = given if isinstance(given, str) else " ".join(given)
        early = {name: self._wanted(name) for name, setting in SETTINGS.items() if setting.early}
        ours = " ".join(f"-c {name}={_escaped(value)}" for name, value in early.items())
        return {**CONNECT_ARGS, "options": f"{given} {ours}".strip()}

    def prepare(self, engine: Engine) -> None:
        """Make every connection of an engine by `connect`, and check it."""
        event.listen(engine, "do_connect", lambda _d, _r, args, given: connect(*args, **given))
        event.listen(engine, "connect", lambda driver, _record: self.check(driver))

    def check(self, driver: Any) -> None:
        """Correct the settings of a new connection.

        Raises:
            DatabaseRefused: a setting is unsafe and cannot be changed; says which, and how to
                change it.
        """
        # In autocommit mode: rolling back a transaction would undo its settings.
        before, driver.autocommit = driver.autocommit, True
        with driver.cursor() as cursor:
            cursor.execute(_READ, (list(SETTINGS),))
            for name, found in cursor.fetchall():
                if found != self._wanted(name):
                    self._correct(cursor, name, found)
        driver.autocommit = before

    def _correct(self, cursor: Any, name: str, found: str) -> None:
        if not self.pooled:
            try:
                cursor.execute(_SET, (name, self._wanted(name)))
            except InsufficientPrivilege:
                pass
            else:
                return
        if not SETTINGS[name].safe(found):
            raise DatabaseRefused(
                f"{name} is {found!r} in the sessions of this role and cannot be changed there;"
                f" it must be {self._wanted(name)!r}: ALTER ROLE ... SET {name}"
            )

    def _wanted(self, name: str) -> str:
        return self.values.get(name, SETTINGS[name].value)


def connect(*args: Any, **given: Any) -> Any:
    """Connect as the driver does; without early settings where a pooler rejects them."""
    try:
        return psycopg2.connect(*args, **given)
    except psycopg2.OperationalError as error:
        if "options" not in given or _NOT_TAKEN not in str(error):
            raise
    return psycopg2.connect(*args, **{k: v for k, v in given.items() if k != "options"})


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
