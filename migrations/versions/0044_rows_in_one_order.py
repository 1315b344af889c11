"""Statements of the publisher lock rows in one order, and keep what the note of an upload says.

Two transactions that locked the same suites in two orders waited for each other until one failed.
"""

from pathlib import Path

from alembic import op

revision = "0044"
down_revision = "0043"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0044_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
