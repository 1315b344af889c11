"""Statements of the intake of packages become functions, whose plans are kept."""

from pathlib import Path

from alembic import op

revision = "0040"
down_revision = "0039"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0040_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
