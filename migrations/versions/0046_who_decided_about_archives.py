"""Who made or changed an archive, lifted a hold or unpinned a generation is in a table."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0046"
down_revision = "0045"
branch_labels = None
depends_on = None

DECISIONS = "create, change, add-suite, change-suite, accept, reject, pin, unpin, lift"


def upgrade() -> None:
    # Pods of the version before write no such rows, and read none.
    op.create_table(
        "archive_decisions",
        sa.Column(
            "id",
            sa.BigInteger,
            sa.Identity(always=True),
            nullable=False,
            comment="1, 2, 3 ...",
        ),
        sa.Column("archive_id", sa.Integer, nullable=False, comment="the archive"),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when",
        ),
        sa.Column("caller", sa.Text, nullable=False, comment="who"),
        sa.Column("decision", sa.Text, nullable=False, comment=DECISIONS),
        sa.Column(
            "detail",
            postgresql.JSONB,
            nullable=False,
            comment="what was given, or what it ended",
        ),
        sa.CheckConstraint(
            f"decision IN ({', '.join(map(repr, DECISIONS.split(', ')))})",
            name=op.f("archive_decisions_decision_check"),
        ),
        sa.ForeignKeyConstraint(
            ["archive_id"],
            ["apt_archives.id"],
            name=op.f("archive_decisions_archive_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("archive_decisions_pkey")),
        comment="One row per decision about an APT archive; runs and deletions have their own rows.",
    )
    op.create_index("archive_decisions_archive_id_idx", "archive_decisions", ["archive_id"])
