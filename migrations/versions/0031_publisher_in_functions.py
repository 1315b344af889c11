"""Statements of publisher runs as functions: to plan them took as long as to run them."""

from pathlib import Path

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0031_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
