"""Keeping the store."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
Time = sa.DateTime(timezone=True)


def upgrade() -> None:
    _extend()
    _create_space()
    _create_checks()
    _create_accesses()
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0004_store.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)


def _extend() -> None:
    op.add_column(
        "blobs",
        sa.Column(
            "doomed_at",
            Time,
            comment="to be removed since then, unless a file names it by the time it would be",
        ),
    )
    op.create_index(
        "blobs_doomed_idx",
        "blobs",
        ["doomed_at"],
        postgresql_where=sa.text("doomed_at IS NOT NULL"),
    )
    op.add_column(
        "staged_artifacts",
        sa.Column(
            "verified_by",
            sa.Text(),
            comment="digests that the source told of the object and that it has; null: it told none",
        ),
    )
    op.create_index(
        "staged_artifacts_idle_idx",
        "staged_artifacts",
        [sa.text("coalesce(last_accessed_at, staged_at)")],
        postgresql_where=sa.text("state = 'staged'"),
    )


def _create_space() -> None:
    op.create_table(
        "store_ledger",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column(
            "bytes",
            sa.BigInteger(),
            nullable=False,
            comment="of blobs added, or less than 0: removed",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("store_ledger_pkey")),
        comment="How full the store is: the sum. Written by triggers of blobs; summed up now and then.",
    )
    op.create_table(
        "store_reservations",
        sa.Column("artifact_id", sa.Text(collation="C"), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False, comment="that this artifact may write"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="it counts as long as this grant is held",
        ),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("made_at", Time, server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.CheckConstraint("bytes >= 0", name=op.f("store_reservations_bytes_check")),
        sa.ForeignKeyConstraint(
            ["artifact_id"],
            ["staged_artifacts.id"],
            name=op.f("store_reservations_artifact_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("artifact_id", name=op.f("store_reservations_pkey")),
        comment="Space promised to artifacts on their way; dies with the lease under which it was.",
    )


def _create_checks() -> None:
    op.create_table(
        "store_checks",
        sa.Column("shard", sa.Text(), nullable=False, comment="first two digits of the digests"),
        sa.Column("began_at", Time, nullable=False),
        sa.Column("checked_at", Time, comment="when the newest check ended"),
        sa.Column("files", sa.Integer(), comment="blobs found on the disk"),
        sa.Column("bytes", sa.BigInteger()),
        sa.Column(
            "lost",
            sa.Integer(),
            comment="blobs with a row that the disk did not have, or not whole",
        ),
        sa.Column(
            "strangers", sa.Integer(), comment="files without a row, older than the grace time"
        ),
        sa.CheckConstraint("shard ~ '^[0-9a-f]{2}$'", name=op.f("store_checks_shard_check")),
        sa.PrimaryKeyConstraint("shard", name=op.f("store_checks_pkey")),
        comment="Whether disk and tables agree, by parts of the store, as last compared.",
    )


def _create_accesses() -> None:
    op.create_table(
        "artifact_accesses",
        sa.Column("artifact_id", sa.Text(collation="C"), nullable=False),
        sa.Column("day", sa.Date(), nullable=False, comment="UTC"),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column(
            "hits", sa.BigInteger(), nullable=False, comment="files sent, in whole or in part"
        ),
        sa.Column(
            "bytes", sa.BigInteger(), nullable=False, comment="that these answers had to send"
        ),
        sa.ForeignKeyConstraint(
            ["artifact_id"],
            ["staged_artifacts.id"],
            name=op.f("artifact_accesses_artifact_id_fkey"),
        ),
        sa.PrimaryKeyConstraint(
            "artifact_id", "day", "caller", name=op.f("artifact_accesses_pkey")
        ),
        comment="Who read what below /static, by day; written once a minute at most.",
    )
    op.create_index(op.f("artifact_accesses_day_idx"), "artifact_accesses", ["day"])
