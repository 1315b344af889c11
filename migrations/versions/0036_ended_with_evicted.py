"""A staging ends with what was evicted before its end, too, and what failed for it stays failed."""

from pathlib import Path

from alembic import op

revision = "0036"
down_revision = "0035"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0036_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
