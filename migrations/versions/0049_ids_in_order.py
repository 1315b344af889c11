"""Ids that the database makes within one millisecond sort in the order in which they were made."""

from pathlib import Path

from alembic import op

revision = "0049"
down_revision = "0048"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0049_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
