"""A package of a component or architecture that its suite has lost supersedes nothing.

Such a package superseded newer ones that the suite does list, so that clients were offered neither.
"""

from pathlib import Path

from alembic import op

revision = "0038"
down_revision = "0037"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    statements = (SQL / "0038_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
