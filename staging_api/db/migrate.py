"""Bring a database to the schema of this version, or say that it is not there yet.

Each step of the schema is a transaction of its own, under one advisory lock. A step may need tables
that others use, and whoever comes after it queues behind it. So it waits for locks for
`LOCK_SECONDS` in all, gives up everything that it has, and tries again a moment later: a reader of
an hour delays the migration, and nobody else for longer than that.

What if it dies? Before a step's commit: the step has not happened, and the next run begins with it.
After it: the next run goes on behind it. Its backend notices within `_CLIENT_CHECK` that the client
is gone, also while it waits for a lock or builds an index.
"""

import logging
import random
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError

from staging_api.database_url import normalized
from staging_api.db.engine import Database, reachable
from staging_api.db.lock_watch import LockWatch
from staging_api.db.sessions import CONNECT_ARGS
from staging_api.errors import (
    DeadlineOver,
    MigrationFailed,
    MigrationRefused,
    SchemaOutdated,
    SchemaUnknown,
)

log = logging.getLogger(__name__)

#: The longest that a step keeps others waiting while it waits for its own locks.
LOCK_SECONDS = 0.2
#: How long a migration goes on trying, unless the caller says otherwise.
PATIENCE_SECONDS = 600.0

# Any number will do as long as nobody else in this database uses it.
_MIGRATION_LOCK = 0x57A6E
_CLIENT_CHECK = "1s"
# Between two tries: others are served meanwhile, and several migrations do not keep step.
_PAUSE_SECONDS = (0.5, 1.5)
_LOG_EVERY_SECONDS = 10.0
# lock_not_available, query_canceled (by our own watch), deadlock_detected
_IN_THE_WAY = frozenset({"55P03", "57014", "40P01"})
# insufficient_privilege, invalid_schema_name (no schema that may be created in)
_NO_RIGHT = frozenset({"42501", "3F000"})
_NUMBER = re.compile(r"\d{4,}")

# Alembic keeps what it works on in globals: two threads would work on each other's connection.
_ALEMBIC = Lock()
_BESIDE_PACKAGE = Path(__file__).parents[2] / "migrations"


def _config(conn: Connection | None = None) -> Config:
    config = Config()
    # In a checkout the steps lie beside the package; installed, in a package of their own.
    in_checkout = (_BESIDE_PACKAGE / "env.py").is_file()
    config.set_main_option(
        "script_location", str(_BESIDE_PACKAGE) if in_checkout else "staging_api_migrations:."
    )
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    return config


@cache
def revisions() -> tuple[str, ...]:
    """The steps of this version, oldest first."""
    script = ScriptDirectory.from_config(_config())
    found = tuple(step.revision for step in script.walk_revisions())[::-1]
    if not found:
        raise SchemaOutdated("no migrations were found beside the package: it is not whole")
    return found


def wanted_revision() -> str:
    """The schema that this version of the code was written for."""
    return revisions()[-1]


def is_newer(revision: str) -> bool:
    """Whether a schema is of a later version than this one, which that version keeps readable."""
    return bool(_NUMBER.fullmatch(revision)) and int(revision) > int(wanted_revision())


def migrate(url: str, patience_seconds: float = PATIENCE_SECONDS) -> str:
    """Run the steps that are missing, and return the revision that the database is at then.

    It is safe to run many at once. A newer schema is left as it is.

    Args:
        url: of the database; its role must own the tables.
        patience_seconds: how long to go on trying while others are in the way.

    Raises:
        Unavailable: the database cannot be reached.
        SchemaUnknown: the database is at a revision that is not in the line of this version.
        MigrationRefused: the role may not change the schema.
        MigrationFailed: PostgreSQL refused a step for another reason.
        DeadlineOver: others were in the way all the time; says who. Steps done before stay done.
    """
    engine = engine_of(url)
    run = _Run(engine, time.monotonic() + patience_seconds, patience_seconds)
    try:
        with reachable():
            while (reached := run.step()) is None:
                pass
    finally:
        engine.dispose()
    return reached


def begin_step(conn: Connection, lock_seconds: float, patience_seconds: float) -> None:
    """Prepare a transaction for a step: wait for other migrations, then limit waits for locks.

    What a role or a database sets for all its sessions may not end a step that takes its time.
    """
    for name in ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"):
        conn.execute(_SET_IF_KNOWN, {"name": name, "value": "0"})
    # Some systems cannot watch a connection, and refuse the setting.
    with suppress(DBAPIError), conn.begin_nested():
        conn.execute(_SET, {"name": "client_connection_check_interval", "value": _CLIENT_CHECK})
    _limit_locks(conn, patience_seconds)
    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    _limit_locks(conn, lock_seconds)


def check_schema(database: Database) -> None:
    """Refuse a schema older than this code; a newer one has to stay readable for it.

    Raises:
        SchemaOutdated: says which revision is there, which is needed, and the command to run.
        SchemaUnknown: the revision is not in the line of this version.
        Unavailable: the database cannot be reached.
    """
    with database.connect() as conn:
        found = _revision(conn)
    if found is not None and is_newer(found):
        return
    if _missing(found):
        raise SchemaOutdated(
            f"the database is at schema {found or 'none'}, this version needs {wanted_revision()}:"
            " run `staging-api migrate` with the same STAGING_DATABASE_URL"
        )


@dataclass
class _Run:
    """One run of `migrate`: its tries, and what it last said of who is in the way."""

    engine: Engine
    deadline: float
    patience_seconds: float
    logged_at: float = float("-inf")

    def step(self) -> str | None:
        """Take the next step, or try to; the revision reached if nothing is left to do."""
        watch = LockWatch(self.engine, LOCK_SECONDS)
        following = "the next step"
        try:
            with self.engine.connect() as conn, conn.begin():
                begin_step(conn, LOCK_SECONDS, max(1.0, self.deadline - time.monotonic()))
                found = _revision(conn)
                if found is not None and is_newer(found):
                    return found
                missing = _missing(found)
                if not missing:
                    return found
                following = f"step {missing[0]}"
                with _ALEMBIC, watch.watching(conn):
                    command.upgrade(_config(conn), missing[0])
        except DBAPIError as error:
            self._wait_or_raise(error, following, watch.blockers)
        return None

    def _wait_or_raise(self, error: DBAPIError, step: str, blockers: str) -> None:
        code = getattr(error.orig, "pgcode", None)
        if code not in _IN_THE_WAY:
            raise _plainly(error, step, code) from None
        now = time.monotonic()
        if now >= self.deadline:
            raise DeadlineOver(
                f"{step} of the schema could not be made in {self.patience_seconds:g} s, as"
                f" another session was in the way: {blockers}; run it again, it goes on from there"
            ) from None
        if now >= self.logged_at + _LOG_EVERY_SECONDS:
            self.logged_at = now
            log.warning("%s of the schema waits for %s", step, blockers)
        time.sleep(random.uniform(*_PAUSE_SECONDS))  # noqa: S311 - nothing secret


def _plainly(error: DBAPIError, step: str, code: str | None) -> Exception:
    """The error in one line; what cannot be known from PostgreSQL's code is left as it is."""
    if error.connection_invalidated or code is None:
        return error
    said = str(error.orig).partition("\n")[0]
    if code in _NO_RIGHT:
        return MigrationRefused(
            f"{step} of the schema: {said}; run `staging-api migrate` with a STAGING_DATABASE_URL"
            " whose role owns the tables and may create in their schema (docs/roles.sql:"
            " staging_owner)"
        )
    return MigrationFailed(f"{step} of the schema: {said} (SQLSTATE {code})")


def _missing(found: str | None) -> tuple[str, ...]:
    """The steps of this version that the database has not taken."""
    line = revisions()
    if found is None:
        return line
    if found not in line:
        raise SchemaUnknown(
            f"the database is at schema {found}, this version needs {line[-1]}, and {found} is"
            f" not in its line ({line[0]} to {line[-1]}): another program's, or changed by hand"
        )
    return line[line.index(found) + 1 :]


def engine_of(url: str) -> Engine:
    """One connection at a time, whatever a role or a database sets for its transactions."""
    arguments = {**CONNECT_ARGS, "application_name": "staging_api migrate"}
    engine = create_engine(
        normalized(url),
        poolclass=NullPool,
        isolation_level="READ COMMITTED",
        connect_args=arguments,
    )
    return engine.execution_options(postgresql_readonly=False)


def _limit_locks(conn: Connection, seconds: float) -> None:
    conn.execute(_SET, {"name": "lock_timeout", "value": f"{seconds * 1000:.0f}"})


_SET = text("SELECT set_config(:name, :value, true)")
_SET_IF_KNOWN = text("SELECT set_config(name, :value, true) FROM pg_settings WHERE name = :name")


def _revision(conn: Connection) -> str | None:
    """The schema that is there; asked at each look at readiness, so without Alembic's machinery."""
    if conn.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return None
    found = conn.execute(text("SELECT version_num FROM alembic_version ORDER BY 1")).scalars().all()
    return ", ".join(found) or None
