"""Bring a database to the schema of this version, or say that it is not there yet."""

from functools import cache
from pathlib import Path
from threading import Lock

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, text

from staging_api.db.engine import Database, reachable
from staging_api.errors import SchemaOutdated

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
def wanted_revision() -> str:
    """The schema that this version of the code was written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    if head is None:
        raise SchemaOutdated("no migrations were found beside the package: it is not whole")
    return head


def migrate(url: str) -> str:
    """Run what is missing, and return the revision reached; safe to run many at once.

    Raises:
        Unavailable: the database cannot be reached.
    """
    engine = create_engine(url)
    try:
        with _ALEMBIC, reachable(), engine.connect() as conn:
            command.upgrade(_config(conn), "head")
    finally:
        engine.dispose()
    return wanted_revision()


def check_schema(database: Database) -> None:
    """Refuse a schema older than this code; a newer one has to stay readable for it.

    Raises:
        SchemaOutdated: says which revision is there, which is needed, and the command to run.
        Unavailable: the database cannot be reached.
    """
    with database.connect() as conn:
        found = _revision(conn)
    wanted = wanted_revision()
    if (found or "") < wanted:
        raise SchemaOutdated(
            f"the database is at schema {found or 'none'}, this version needs {wanted}:"
            " run `staging-api migrate` with the same STAGING_DATABASE_URL"
        )


def _revision(conn: Connection) -> str | None:
    """The schema that is there; asked at each look at readiness, so without Alembic's machinery."""
    if conn.execute(text("SELECT to_regclass('alembic_version')")).scalar_one() is None:
        return None
    return conn.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
