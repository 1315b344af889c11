"""Going back is a state of a suite; a Release knows its signer; a pool path keeps its bytes."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.add_column(
        "suites", _time("rebuild_since", "set until all of its packages are looked at again")
    )
    op.add_column(
        "uploads",
        sa.Column(
            "note", sa.Text(), comment="what else became of it, or of its suite, by being taken"
        ),
    )
    op.add_column(
        "release_files",
        sa.Column(
            "signed_by", sa.Text(), comment="fingerprint of the key; empty: none; null: not known"
        ),
    )
    op.add_column(
        "release_files",
        _time("modified_at", "its Last-Modified: another for each Release of a suite"),
    )
    op.create_index(
        "package_files_past_idx",
        "package_files",
        ["archive_id", "path"],
        postgresql_where=sa.text("removed_at IS NOT NULL"),
    )
    _holds()
    _lasting_releases()
    # The same file in two components of a suite.
    for kind in ("binary", "source"):
        name, release = f"package_publications_{kind}_key", f"{kind}_release_id"
        op.drop_index(name, "package_publications")
        op.create_index(
            name,
            "package_publications",
            ["suite_id", "component", release],
            unique=True,
            postgresql_where=sa.text(f"ended_at IS NULL AND {release} IS NOT NULL"),
        )
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    statements = (SQL / "0018_publisher.sql").read_text().replace("%", "%%")
    op.get_bind().exec_driver_sql(statements)


def _holds() -> None:
    op.create_table(
        "suite_holds",
        sa.Column("suite_id", sa.Integer(), nullable=False, comment="which suite is held"),
        sa.Column(
            "generation_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="the generation whose packages it shows",
        ),
        sa.Column(
            "content_number", sa.BigInteger(), nullable=False, comment="the number of that content"
        ),
        _time("held_at", "since when", server_default=sa.text("clock_timestamp()"), nullable=False),
        sa.Column("held_by", sa.Text(), nullable=False, comment="who went back, or held it"),
        sa.Column(
            "reason",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="why; empty: not said",
        ),
        sa.ForeignKeyConstraint(
            ["suite_id"], ["suites.id"], name=op.f("suite_holds_suite_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["dists_generations.id"],
            name=op.f("suite_holds_generation_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("suite_id", name=op.f("suite_holds_pkey")),
        comment="One row a suite that shows an older generation's packages until it is lifted.",
    )
    op.create_table(
        "generation_holds",
        sa.Column(
            "generation_id", sa.Text(collation="C"), nullable=False, comment="which generation"
        ),
        sa.Column("suite_id", sa.Integer(), nullable=False, comment="held in it"),
        sa.Column(
            "content_number",
            sa.BigInteger(),
            nullable=False,
            comment="whose packages the suite lists",
        ),
        sa.ForeignKeyConstraint(
            ["generation_id"],
            ["dists_generations.id"],
            name=op.f("generation_holds_generation_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["suite_id"], ["suites.id"], name=op.f("generation_holds_suite_id_fkey")
        ),
        sa.PrimaryKeyConstraint("generation_id", "suite_id", name=op.f("generation_holds_pkey")),
        comment="The suites that were held when a generation went live.",
    )
    op.create_index("generation_holds_suite_id_idx", "generation_holds", ["suite_id"])


def _lasting_releases() -> None:
    op.create_table(
        "lasting_releases",
        sa.Column("release_id", sa.BigInteger(), nullable=False, comment="the row of the Release"),
        sa.Column("name", sa.Text(), nullable=False, comment="Release, InRelease or Release.gpg"),
        sa.Column(
            "signed_by", sa.Text(), nullable=False, comment="fingerprint of the key; empty: none"
        ),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="its bytes"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of its bytes, in hex"),
        _time(
            "created_at",
            "when it was made",
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "name IN ('Release', 'InRelease', 'Release.gpg')",
            name=op.f("lasting_releases_name_check"),
        ),
        sa.CheckConstraint(
            "length(sha256) = 64 AND sha256 !~ '[^0-9a-f]'",
            name=op.f("lasting_releases_sha256_check"),
        ),
        sa.ForeignKeyConstraint(
            ["release_id"],
            ["release_files.id"],
            name=op.f("lasting_releases_release_id_fkey"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint(
            "release_id", "name", "signed_by", name=op.f("lasting_releases_pkey")
        ),
        comment="Releases of older generations, without the Valid-Until that has passed.",
    )


def _time(name: str, comment: str, **more: object) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), comment=comment, **more)  # type: ignore[arg-type]
