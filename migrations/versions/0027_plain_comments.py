"""Comments of tables, columns and functions in plain English; nothing else changes."""

from pathlib import Path

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    for name in ("0027_functions.sql", "0027_comments.sql"):
        # The driver alone, without parameters: a colon or percent sign in the file is only itself.
        statements = (SQL / name).read_text().replace("%", "%%")
        op.get_bind().exec_driver_sql(statements)
