"""The age of a grant is by the database's clock: an id is of the clock of the machine that made it."""

from pathlib import Path

from alembic import op

revision = "0045"
down_revision = "0044"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.execute(
        "CREATE INDEX api_locks_lost_idx ON api_locks (expires_at)"
        " WHERE outcome IN ('expired', 'superseded')"
    )
    statements = (SQL / "0045_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
