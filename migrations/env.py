"""How Alembic reaches the database: one transaction, and one migration at a time."""

from alembic import context
from sqlalchemy import create_engine, text
from sqlalchemy.engine import Connection

from staging_api.db.tables import metadata
from staging_api.settings import Settings

# Any number will do as long as nobody else in this database uses it.
_MIGRATION_LOCK = 0x57A6E


def is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """Leave out the partitions of the histories, which come and go by time.

    And of an index in another collation Alembic reads only the column, so that it never agrees.
    """
    if kind == "table":
        return not (name or "").startswith(("api_locks_", "staging_events_"))
    return name != "staged_files_folder_idx"


def migrate(conn: Connection) -> None:
    """Run the steps on `conn`.

    All steps and the lock share one transaction, so that it works through a transaction pooler,
    a second migration waits and then finds nothing to do, and a failed one leaves no trace.
    """
    context.configure(
        connection=conn,
        target_metadata=metadata,
        include_object=is_ours,
        compare_server_default=True,
    )
    with context.begin_transaction():
        conn.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _MIGRATION_LOCK})
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    with create_engine(Settings.from_env().database_url).connect() as connection:
        migrate(connection)
