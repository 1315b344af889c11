"""The identity of the store, space for uploads, and files of pools that the store has lost."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
Time = sa.DateTime(timezone=True)
now = sa.text("clock_timestamp()")


def upgrade() -> None:
    op.create_table(
        "store_identity",
        sa.Column(
            "id",
            sa.Text(collation="C"),
            nullable=False,
            comment="the same as in the marker of the store",
        ),
        sa.Column(
            "sole",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="true: a database belongs to one store",
        ),
        sa.Column("adopted_at", Time, server_default=now, nullable=False, comment="since when"),
        sa.CheckConstraint("sole", name=op.f("store_identity_sole_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("store_identity_pkey")),
        sa.UniqueConstraint("sole", name=op.f("store_identity_sole_key")),
        comment="Which store this database belongs to; another one is refused.",
    )
    _add_space_for_uploads()
    _add_lost_contents()
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0025_space_for_uploads.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)


def _add_space_for_uploads() -> None:
    op.create_table(
        "upload_reservations",
        sa.Column("id", sa.Text(collation="C"), nullable=False, comment="drawn for one request"),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="that it may write"),
        sa.Column(
            "expires_at",
            Time,
            nullable=False,
            comment="it counts until then; renewed while bytes arrive",
        ),
        sa.CheckConstraint("bytes >= 0", name=op.f("upload_reservations_bytes_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("upload_reservations_pkey")),
        comment="Space promised to packages that are being uploaded.",
    )


def _add_lost_contents() -> None:
    op.create_table(
        "lost_contents",
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the content, in hex"),
        sa.Column("reason", sa.Text(), nullable=False, comment="lost, corrupt"),
        sa.Column("found_at", Time, server_default=now, nullable=False, comment="when it was seen"),
        sa.CheckConstraint(
            "reason IN ('lost', 'corrupt')", name=op.f("lost_contents_reason_check")
        ),
        sa.ForeignKeyConstraint(
            ["sha256"],
            ["blobs.sha256"],
            name=op.f("lost_contents_sha256_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("sha256", name=op.f("lost_contents_pkey")),
        comment="Contents of pools that the store lost or has wrong, until they are there again.",
    )
