"""Packs: the small files of an artifact in one blob. The table of files becomes a view of two."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"
Ulid = sa.Text(collation="C")


def upgrade() -> None:
    _rename()
    _add_packs()
    # What exists was staged by a version that cannot read packs; a new database has no such pods.
    op.add_column(
        "store_identity",
        sa.Column(
            "packs",
            sa.Boolean,
            nullable=False,
            server_default=sa.text("false"),
            comment="whether packs are written where STAGING_PACKS is auto;"
            " false: a version that cannot read them may still run",
        ),
    )
    op.alter_column("store_identity", "packs", server_default=sa.text("true"))
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0030_functions.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)


def _rename() -> None:
    """Make room for the view: names change, and nothing is read or rewritten."""
    op.rename_table("staged_files", "loose_files")
    for name in ("pkey", "path_idx", "sha256_idx", "folder_idx"):
        op.execute(f"ALTER INDEX staged_files_{name} RENAME TO loose_files_{name}")
    # From PostgreSQL 18 on, NOT NULL has a name as well.
    names = op.get_bind().execute(
        sa.text(
            "SELECT conname FROM pg_constraint"
            " WHERE conrelid = 'loose_files'::regclass AND conname LIKE 'staged_files_%'"
        )
    )
    for (name,) in names.all():
        new = name.replace("staged_files", "loose_files")
        op.execute(f"ALTER TABLE loose_files RENAME CONSTRAINT {name} TO {new}")
    op.create_table_comment(
        "loose_files",
        "Files whose content is a blob of its own; the view staged_files has all files.",
    )


def _add_packs() -> None:
    op.create_table(
        "packs",
        sa.Column(
            "artifact_id",
            Ulid,
            nullable=False,
            comment="the artifact whose small files are in it",
        ),
        sa.Column(
            "sha256",
            sa.Text,
            comment="of the blob; null: it was dropped,"
            " and the rows of its files are being deleted",
        ),
        sa.Column("size_bytes", sa.BigInteger, nullable=False, comment="length of the blob"),
        sa.Column(
            "first_path",
            sa.Text,
            nullable=False,
            comment="of its files, by the bytes of their paths",
        ),
        sa.Column(
            "last_path",
            sa.Text,
            nullable=False,
            comment="of its files, by the bytes of their paths",
        ),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("packs_size_bytes_check")),
        sa.CheckConstraint(
            'first_path COLLATE "C" <= last_path COLLATE "C"', name=op.f("packs_paths_check")
        ),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["staged_artifacts.id"], name=op.f("packs_artifact_id_fkey")
        ),
        sa.ForeignKeyConstraint(["sha256"], ["blobs.sha256"], name=op.f("packs_sha256_fkey")),
        sa.PrimaryKeyConstraint("artifact_id", name=op.f("packs_pkey")),
        comment="Packs: blobs that have the small files of an artifact, one behind the other.",
    )
    op.create_index(op.f("packs_sha256_idx"), "packs", ["sha256"])
    op.create_index(
        "packs_dropped_idx", "packs", ["artifact_id"], postgresql_where=sa.text("sha256 IS NULL")
    )
    op.create_table(
        "packed_files",
        sa.Column(
            "pack_offset", sa.BigInteger, nullable=False, comment="where in the pack it begins"
        ),
        sa.Column("size_bytes", sa.Integer, nullable=False, comment="length of the content"),
        sa.Column("artifact_id", Ulid, nullable=False, comment="its artifact, which has the pack"),
        sa.Column("path", sa.Text, nullable=False, comment="below /static"),
        sa.Column("sha256", sa.LargeBinary, nullable=False, comment="of the content; 32 bytes"),
        sa.Column(
            "executable",
            sa.Boolean,
            nullable=False,
            comment="whether the archive marks it as executable",
        ),
        sa.CheckConstraint(
            "pack_offset >= 0 AND size_bytes >= 0", name=op.f("packed_files_place_check")
        ),
        sa.CheckConstraint("octet_length(sha256) = 32", name=op.f("packed_files_sha256_check")),
        comment="Files whose content is a piece of a pack; the view staged_files has all files.",
    )
    op.create_index(
        "packed_files_path_idx",
        "packed_files",
        [sa.text('path COLLATE "C"'), "artifact_id"],
        unique=True,
    )
