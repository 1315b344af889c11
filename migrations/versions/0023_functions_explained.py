"""Every function of the database says what it is for."""

from pathlib import Path

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0023_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
