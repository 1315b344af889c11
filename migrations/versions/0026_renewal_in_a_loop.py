"""Leases renewed in a loop: as one statement it made PostgreSQL 18 crash beside releases."""

from pathlib import Path

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0026_renewal.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
