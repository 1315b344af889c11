"""What older versions left to do behind finished stagings is settled; callers take turns."""

from pathlib import Path

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0017_left_behind.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
