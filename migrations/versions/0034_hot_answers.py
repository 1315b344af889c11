"""The most frequent questions as functions: which rows an answer is made of; the file at a path."""

from pathlib import Path

from alembic import op

revision = "0034"
down_revision = "0033"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0034_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
