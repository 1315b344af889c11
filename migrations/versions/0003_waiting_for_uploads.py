"""Waiting for uploads."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for column in (
        sa.Column(
            "upload_wait_seconds",
            sa.Double(),
            comment="how long its caller would wait for an archive that is not there; null: not said",
        ),
        sa.Column(
            "upload_wait_began_at",
            sa.DateTime(timezone=True),
            comment="when it first waited for an upload",
        ),
        sa.Column(
            "upload_wait_ended_at", sa.DateTime(timezone=True), comment="null while it waits"
        ),
        sa.Column(
            "waiting_for",
            sa.ARRAY(sa.Text()),
            comment="artifacts whose upload it waits for just now",
        ),
    ):
        op.add_column("stagings", column)
    op.create_table(
        "upload_polls",
        sa.Column("archive_url", sa.Text(), nullable=False),
        sa.Column(
            "next_poll_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="nobody looks before; then one does",
        ),
        sa.Column(
            "polls",
            sa.BigInteger(),
            server_default="1",
            nullable=False,
            comment="looks so far",
        ),
        sa.Column("polled_at", sa.DateTime(timezone=True), comment="when the newest look ended"),
        sa.Column("names", sa.ARRAY(sa.Text()), comment="objects that it saw"),
        sa.ForeignKeyConstraint(
            ["archive_url"], ["archives.archive_url"], name=op.f("upload_polls_archive_url_fkey")
        ),
        sa.PrimaryKeyConstraint("archive_url", name=op.f("upload_polls_pkey")),
        comment="Archives whose upload is waited for: one look for all who wait, on all pods.",
    )
