"""What a person asks of the service: processes, counts, use of the store, who waits for a lock."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.add_column(
        "api_locks",
        sa.Column(
            "renewals",
            sa.Integer(),
            nullable=False,
            server_default="0",
            comment="how often its lease was extended",
        ),
    )
    # Without a default first: with one that is a function PostgreSQL writes the table anew.
    op.add_column(
        "lock_waiters",
        sa.Column("waits_since", sa.DateTime(timezone=True), comment="when it took its place"),
    )
    op.alter_column("lock_waiters", "waits_since", server_default=sa.text("clock_timestamp()"))
    for name in ("0029_reports.sql", "0029_functions.sql"):
        # The driver alone, without parameters: a colon or percent sign in the file is only itself.
        statements = (SQL / name).read_text().replace("%", "%%")
        op.get_bind().exec_driver_sql(statements)
