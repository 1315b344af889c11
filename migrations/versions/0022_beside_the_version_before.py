"""The rules that clients rely on hold for pods of the version before; each run says what it is."""

from pathlib import Path

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0022_beside_the_version_before.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
