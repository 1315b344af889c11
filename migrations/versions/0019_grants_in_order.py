"""The history of grants in the order in which they were made."""

from pathlib import Path

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0019_grants_in_order.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
