"""Less to plan for what is asked most often, and less to check for each row that is written."""

from pathlib import Path

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    for name in ("0013_reading.sql", "0013_checks.sql"):
        statements = (SQL / name).read_text().replace("%", "%%")
        op.get_bind().exec_driver_sql(statements)
