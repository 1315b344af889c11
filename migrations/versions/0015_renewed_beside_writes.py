"""A lease is renewed while guarded writes are open under it, and nobody waits for those."""

from pathlib import Path

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0015_locks.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
