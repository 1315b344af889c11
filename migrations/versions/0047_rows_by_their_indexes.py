"""The publisher finds a few rows by their indexes, and a step of a run is one statement."""

from pathlib import Path

from alembic import op

revision = "0047"
down_revision = "0046"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0047_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
