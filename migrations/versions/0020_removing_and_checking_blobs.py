"""Removing blobs without a transaction that waits for the network, and reading them again."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    _extend_blobs()
    op.add_column(
        "store_checks",
        sa.Column("scrubbed_at", Time, comment="when blobs of it were last taken to be read again"),
    )
    op.alter_column("staged_artifacts", "evict_reason", comment="asked, space, lost, corrupt")
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0020_removal.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)


def _extend_blobs() -> None:
    op.add_column(
        "blobs",
        sa.Column(
            "removing_until",
            Time,
            comment="a collector removes it just now: until then no file may name it",
        ),
    )
    op.add_column(
        "blobs",
        sa.Column(
            "removal_failures",
            sa.Integer(),
            server_default="0",
            nullable=False,
            comment="how often it could not be removed; each puts the next try off",
        ),
    )
    op.add_column(
        "blobs",
        sa.Column("checked_at", Time, comment="when all of it was last read and had its digest"),
    )
    op.alter_column(
        "blobs",
        "doomed_at",
        comment="to be removed from then on, unless a file names it by the time it would be",
    )
