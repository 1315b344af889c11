"""What is held already: object versions that are blobs, and manifests as they were read."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.add_column(
        "staged_artifacts",
        sa.Column(
            "held_by",
            sa.Text(),
            comment="why it, or a part of it, was not fetched: version, sha256; null: all of it was",
        ),
    )
    # Under its old name: what was not fetched is no fetch.
    op.drop_index("staged_artifacts_fetched_idx", "staged_artifacts")
    op.create_index(
        "staged_artifacts_fetched_idx",
        "staged_artifacts",
        ["source_url", "source_version", "name"],
        postgresql_where=sa.text("staged_at IS NOT NULL AND held_by IS NULL"),
    )
    op.create_table(
        "manifests",
        sa.Column(
            "archive_url", sa.Text(), nullable=False, comment="canonical, free of credentials"
        ),
        sa.Column(
            "version", sa.Text(), nullable=False, comment="generation or ETag of the manifest"
        ),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the manifest"),
        sa.Column(
            "names",
            sa.ARRAY(sa.Text()),
            nullable=False,
            comment="objects of the archive, as it has them",
        ),
        sa.Column(
            "read_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when this version was read",
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("manifests_sha256_check")),
        sa.ForeignKeyConstraint(
            ["archive_url"], ["archives.archive_url"], name=op.f("manifests_archive_url_fkey")
        ),
        sa.PrimaryKeyConstraint("archive_url", name=op.f("manifests_pkey")),
        comment="What uploaders said that archives have, as last read: one version is read once.",
    )
    op.create_table(
        "held_objects",
        sa.Column("url", sa.Text(), nullable=False, comment="of the object, free of credentials"),
        sa.Column(
            "version",
            sa.Text(),
            nullable=False,
            comment="its generation, version id or strong ETag",
        ),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="its length"),
        sa.Column(
            "sha256",
            sa.Text(),
            nullable=False,
            comment="of its whole content, which is this blob",
        ),
        sa.Column(
            "verified_by",
            sa.Text(),
            comment="digest that the source told and that was found; null: none",
        ),
        sa.Column(
            "read_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was fetched",
        ),
        sa.ForeignKeyConstraint(
            ["sha256"],
            ["blobs.sha256"],
            name=op.f("held_objects_sha256_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("url", "version", name=op.f("held_objects_pkey")),
        comment="Versions of source objects whose whole content is a blob: not fetched again.",
    )
    op.create_index(op.f("held_objects_sha256_idx"), "held_objects", ["sha256"])
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0010_events.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)
