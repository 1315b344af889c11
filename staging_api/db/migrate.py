"""Migrate a database to the schema of this version, or check that it has this schema.

Each step of the schema is its own transaction, under one advisory lock. A step may need tables that
other sessions use, and later sessions queue behind it. So a step waits for locks for `LOCK_SECONDS`
in total, rolls back, and retries a moment later: a session that reads for an hour delays the
migration, but the migration blocks other sessions for no longer than that limit.

What if the process dies? Before a step's commit: the step has not happened, and the next run begins
with it. After the commit: the next run continues with the next step. The server process notices
within `_CLIENT_CHECK` that the client is gone, even while it waits for a lock or builds an index.
"""

import importlib.util
import logging
import random
import re
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import ScriptDirectory

log = logging.getLogger(__name__)

#: How long a step may block other sessions while it waits for its own locks.
LOCK_SECONDS = 0.2
#: How long a migration keeps trying by default.
PATIENCE_SECONDS = 600.0

# Any number, as long as nothing else in this database uses it.
_MIGRATION_LOCK = 0x57A6E
_CLIENT_CHECK = "1s"
# Pause between attempts, in which other sessions are served; random, so that several migrations do
# not stay in step.
_PAUSE_SECONDS = (0.5, 1.5)
_OLDEST_SERVER = 15
_LOG_EVERY_SECONDS = 10.0
# lock_not_available, query_canceled (by LockWatch), deadlock_detected
_BLOCKED_CODES = frozenset({"55P03", "57014", "40P01"})
# insufficient_privilege, invalid_schema_name (no schema that may be created in)
_FORBIDDEN_CODES = frozenset({"42501", "3F000"})
_NUMBER = re.compile(r"\d{4,}")
_STEP_FILE = re.compile(rf"({_NUMBER.pattern})_\w+\.py")

# Alembic keeps its state in globals: two threads would share a connection.
_ALEMBIC = Lock()
_INCOMPLETE = "no migrations were found beside the package: it is incomplete"
_BESIDE_PACKAGE = Path(__file__).parents[2] / "migrations"


@cache
def revisions() -> tuple[str, ...]:
    """Return the steps of this version, oldest first."""
    # Each file is named by its revision, so reading the list does not need Alembic, which takes 8
    # MB.
    names = (_STEP_FILE.fullmatch(file.name) for file in (_folder() / "versions").glob("*.py"))
    found = tuple(sorted((name[1] for name in names if name), key=int))
    if not found:
        raise SchemaOutdated(_INCOMPLETE)
    return found


def wanted_revision() -> str:
    """Return the revision of the schema that this version of the code needs."""
    return revisions()[-1]


def is_newer(revision: str) -> bool:
    """Return whether a schema belongs to a later version, which keeps it readable for ours."""
    return bool(_NUMBER.fullmatch(revision)) and int(revision) > int(wanted_revision())


def migrate(url: str, patience_seconds: float = PATIENCE_SECONDS) -> str:
    """Run the missing steps, and return the revision of the database afterwards.

    Several migrations may run at once. A newer schema is left unchanged.

    Args:
        url: URL of the database; its role must own the tables.
        patience_seconds: how long to keep trying while other sessions block a step.

    Raises:
        Unavailable: the database cannot be reached.
        SchemaUnknown: the revision of the database is not one of this version's line.
        MigrationRefused: the role may not change the schema.
        MigrationFailed: PostgreSQL refused a step for another reason, or is too old.
        DeadlineOver: other sessions blocked a step all the time; names them. Finished steps stay.
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

    Time-outs that a role or database sets for its sessions are switched off: they must not end a
    long step.
    """
    for name in ("statement_timeout", "idle_in_transaction_session_timeout", "transaction_timeout"):
        conn.execute(_SET_IF_KNOWN, {"name": name, "value": "0"})
    # Some platforms cannot watch a connection, and refuse the setting.
    with suppress(DBAPIError), conn.begin_nested():
        conn.execute(_SET, {"name": "client_connection_check_interval", "value": _CLIENT_CHECK})
    _limit_locks(conn, patience_seconds)
    conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
    _limit_locks(conn, lock_seconds)


def check_schema(database: Database) -> None:
    """Check that the schema is that of this version or newer; a newer one stays readable.

    Raises:
        SchemaOutdated: names the current and the needed revision, and the command to run.
        SchemaUnknown: the revision is not one of this version's line.
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


def engine_of(url: str) -> Engine:
    """Return an engine without a pool, which overrides session defaults of the role or database."""
    arguments = {**CONNECT_ARGS, "application_name": "staging_api migrate"}
    engine = create_engine(
        normalized(url),
        poolclass=NullPool,
        isolation_level="READ COMMITTED",
        connect_args=arguments,
    )
    return engine.execution_options(postgresql_readonly=False)


@dataclass
class _Run:
    """One run of `migrate`: its deadline, and when it last logged the blocking sessions."""

    engine: Engine
    deadline: float
    patience_seconds: float
    logged_at: float = float("-inf")

    def step(self) -> str | None:
        """Try the next step; return the revision if no step is missing."""
        watch = LockWatch(self.engine, LOCK_SECONDS)
        following = "the next step"
        try:
            with self.engine.connect() as conn, conn.begin():
                _check_server(conn)
                begin_step(conn, LOCK_SECONDS, max(1.0, self.deadline - time.monotonic()))
                found = _revision(conn)
                if found is not None and is_newer(found):
                    return found
                missing = _missing(found)
                if not missing:
                    return found
                following = f"step {missing[0]}"
                with _ALEMBIC, watch.watching(conn):
                    _upgrade(conn, missing[0])
        except DBAPIError as error:
            self._wait_or_raise(error, following, watch.blockers)
        return None

    def _wait_or_raise(self, error: DBAPIError, step: str, blockers: str) -> None:
        code = getattr(error.orig, "pgcode", None)
        if code not in _BLOCKED_CODES:
            raise _migration_error(error, step, code) from None
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


def _check_server(conn: Connection) -> None:
    """Refuse a server that lacks what the steps use: it would name a syntax error of ours."""
    driver: Any = conn.connection.driver_connection
    found, minor = divmod(driver.server_version, 10_000)
    if found < _OLDEST_SERVER:
        raise MigrationFailed(
            f"the server is PostgreSQL {found}.{minor}, this version needs PostgreSQL"
            f" {_OLDEST_SERVER} or a newer one"
        )


def _folder() -> Path:
    """Return the folder of the steps: beside the package in a checkout, else installed."""
    if (_BESIDE_PACKAGE / "env.py").is_file():
        return _BESIDE_PACKAGE
    package = importlib.util.find_spec("staging_api_migrations")
    if package is None or package.origin is None:
        raise SchemaOutdated(_INCOMPLETE)
    return Path(package.origin).parent


def _upgrade(conn: Connection, step: str) -> None:
    """Run one step in the current transaction of the connection.

    Alembic's own command would read the files of all steps again for each step.
    """
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationStep

    script = _steps()

    def following(_found: object, _context: object) -> list[MigrationStep]:
        chosen = script.get_revision(step)
        return [MigrationStep.upgrade_from_script(script.revision_map, chosen)]

    with EnvironmentContext(_config(conn), script, fn=following, destination_rev=step):
        script.run_env()


@cache
def _steps() -> "ScriptDirectory":
    from alembic.script import ScriptDirectory  # takes 100 ms, which most starts need not spend

    return ScriptDirectory.from_config(_config())


def _config(conn: Connection | None = None) -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = conn
    return config


def _migration_error(error: DBAPIError, step: str, code: str | None) -> Exception:
    """Return the error in one line; unchanged if it has no SQLSTATE or the connection broke."""
    if error.connection_invalidated or code is None:
        return error
    said = str(error.orig).partition("\n")[0]
    if code in _FORBIDDEN_CODES:
        return MigrationRefused(
            f"{step} of the schema: {said}; run `staging-api migrate` with a STAGING_DATABASE_URL"
            " whose role owns the tables and may create in their schema (docs/roles.sql:"
            " staging_owner)"
        )
    return MigrationFailed(f"{step} of the schema: {said} (SQLSTATE {code})")


def _missing(found: str | None) -> tuple[str, ...]:
    """Return the steps of this version that the database lacks."""
    line = revisions()
    if found is None:
        return line
    if found not in line:
        raise SchemaUnknown(
            f"the database is at schema {found}, this version needs {line[-1]}, and {found} is"
            f" not in its line ({line[0]} to {line[-1]}): another program's, or changed by hand"
        )
    return line[line.index(found) + 1 :]


def _limit_locks(conn: Connection, seconds: float) -> None:
    conn.execute(_SET, {"name": "lock_timeout", "value": f"{seconds * 1000:.0f}"})


_SET = text("SELECT set_config(:name, :value, true)")
_SET_IF_KNOWN = text("SELECT set_config(name, :value, true) FROM pg_settings WHERE name = :name")


def _revision(conn: Connection) -> str | None:
    """Return the current revision, without Alembic's overhead: readiness checks call this."""
    if conn.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return None
    found = conn.execute(text("SELECT version_num FROM alembic_version ORDER BY 1")).scalars().all()
    return ", ".join(found) or None
