"""How Alembic reaches the database; `staging_api.db.migrate` gives it a connection for each step."""

from alembic import context
from sqlalchemy.engine import Connection

from staging_api.db.migrate import LOCK_SECONDS, PATIENCE_SECONDS, begin_step, engine_of
from staging_api.db.tables import metadata
from staging_api.settings import Settings

#: Alembic reads only the column of them, or nothing at all, so that it never agrees.
_UNREAD = (
    "archives_prefix_idx",
    "loose_files_folder_idx",
    "packed_files_path_idx",
)


def is_ours(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """Leave out the partitions of the histories, which come and go by time.

    And the indexes in another collation, or of expressions.
    """
    if kind == "table":
        return not (name or "").startswith(("api_locks_", "staging_events_"))
    return name not in _UNREAD


def migrate(conn: Connection) -> None:
    """Run the steps on `conn`, in the transaction that it is in."""
    context.configure(
        connection=conn,
        target_metadata=metadata,
        include_object=is_ours,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    # By hand: all steps in one transaction, which ends when a lock is not to be had.
    engine = engine_of(Settings.from_env().database_url)
    with engine.connect() as connection, connection.begin():
        begin_step(connection, LOCK_SECONDS, PATIENCE_SECONDS)
        migrate(connection)
