"""The file at a path is found by two probes, whatever is known of the tables: see its function."""

from pathlib import Path

from alembic import op

revision = "0037"
down_revision = "0036"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0037_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
