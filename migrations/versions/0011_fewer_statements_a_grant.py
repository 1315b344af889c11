"""Fewer statements a grant: who waits for a scope is said in its row."""

from pathlib import Path

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0011_locks.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
