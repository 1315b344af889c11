"""Times that no ULID can have: questions with one found nothing, or ended with an error."""

from pathlib import Path

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0033_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
