"""Files that readers follow while they are written."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "growing_files",
        sa.Column(
            "artifact_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="that becomes this one file",
        ),
        sa.Column(
            "attempt", sa.Integer(), nullable=False, comment="of the artifact, that writes it"
        ),
        sa.Column("file", sa.Text(), nullable=False, comment="below the folder of the store"),
        sa.Column(
            "bytes_done",
            sa.BigInteger(),
            nullable=False,
            comment="from its front, that can be read",
        ),
        sa.Column(
            "size_bytes",
            sa.BigInteger(),
            nullable=True,
            comment="that it will have; null: not known",
        ),
        sa.CheckConstraint(
            "bytes_done >= 0 AND size_bytes >= 0",
            name=op.f("growing_files_sizes_check"),
        ),
        sa.ForeignKeyConstraint(
            ["artifact_id"],
            ["staged_artifacts.id"],
            name=op.f("growing_files_artifact_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("artifact_id", name=op.f("growing_files_pkey")),
        comment="Files being written, for readers that follow them; gone when they are staged.",
    )
    op.create_index(
        "staged_artifacts_coming_idx",
        "staged_artifacts",
        ["path"],
        postgresql_where=sa.text("state IN ('pending', 'staging')"),
    )
