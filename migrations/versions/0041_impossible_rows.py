"""Rows that no code writes are refused; what only earlier versions called goes."""

from pathlib import Path

from alembic import op

revision = "0041"
down_revision = "0040"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    for name in ("0041_checks.sql", "0041_functions.sql", "0041_comments.sql"):
        # The driver alone, without parameters: a colon or percent sign in the file is only itself.
        statements = (SQL / name).read_text().replace("%", "%%")
        op.get_bind().exec_driver_sql(statements)
