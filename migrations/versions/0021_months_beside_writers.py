"""Months of history are made and dropped with short waits for locks."""

from pathlib import Path

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0021_months.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
