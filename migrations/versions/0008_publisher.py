"""The publisher: APT archives, what is in them, and what clients see."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:  # noqa: PLR0915 - one statement a table
    op.create_table(
        "apt_archives",
        sa.Column(
            "id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="first segment below /archive"),
        sa.Column(
            "origin",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="of its Releases; empty: none",
        ),
        sa.Column(
            "label",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="of its Releases; empty: none",
        ),
        sa.Column(
            "forms",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="of index files: plain, gz, xz, zst",
        ),
        sa.Column(
            "publish_by_hash",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="whether index files are served by hash as well",
        ),
        sa.Column(
            "advertise_by_hash",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="whether Release says Acquire-By-Hash",
        ),
        sa.Column(
            "valid_for_seconds",
            sa.Integer(),
            nullable=True,
            comment="how long clients may believe a Release",
        ),
        sa.Column(
            "retention_seconds",
            sa.Integer(),
            nullable=False,
            comment="old generations are kept so long",
        ),
        sa.Column(
            "quarantine_seconds",
            sa.Integer(),
            nullable=False,
            comment="superseded files are kept so long",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was made",
        ),
        sa.CheckConstraint(
            "cardinality(forms) > 0 AND forms <@ ARRAY['plain', 'gz', 'xz', 'zst']",
            name=op.f("apt_archives_forms_check"),
        ),
        sa.CheckConstraint(
            "name ~ '^[a-z0-9][a-z0-9.+-]{0,63}$'", name=op.f("apt_archives_name_check")
        ),
        sa.CheckConstraint(
            "publish_by_hash OR NOT advertise_by_hash",
            name=op.f("apt_archives_advertised_is_published_check"),
        ),
        sa.CheckConstraint(
            "retention_seconds >= 0 AND quarantine_seconds >= 0",
            name=op.f("apt_archives_times_check"),
        ),
        sa.CheckConstraint("valid_for_seconds > 0", name=op.f("apt_archives_valid_for_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("apt_archives_pkey")),
        sa.UniqueConstraint("name", name=op.f("apt_archives_name_key")),
        comment="One row an APT archive that we publish.",
    )
    op.create_table(
        "index_blocks",
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the plain text"),
        sa.Column("last_key", sa.LargeBinary(), nullable=False, comment="sorts its last entry"),
        sa.Column("entries", sa.Integer(), nullable=False, comment="how many stanzas are in it"),
        sa.Column("plain_bytes", sa.Integer(), nullable=False, comment="length of the plain text"),
        sa.Column(
            "zst",
            sa.LargeBinary(),
            nullable=False,
            comment="one frame; the plain text is got from it",
        ),
        sa.Column("gz", sa.LargeBinary(), nullable=True, comment="one member"),
        sa.Column("xz", sa.LargeBinary(), nullable=True, comment="one stream of one block"),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("index_blocks_sha256_check")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("index_blocks_pkey")),
        comment="Pieces of index files, each compressed once.",
    )
    op.create_table(
        "index_layouts",
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the hashes of its blocks"),
        sa.Column(
            "blocks",
            postgresql.ARRAY(sa.Text()),
            nullable=False,
            comment="sha256 of each, in order",
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("index_layouts_sha256_check")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("index_layouts_pkey")),
        comment="What an index file is made of.",
    )
    op.create_table(
        "package_files",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("archive_id", sa.Integer(), nullable=False, comment="its archive"),
        sa.Column(
            "path",
            sa.Text(collation="C"),
            nullable=False,
            comment="below the archive's root: pool/...",
        ),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of the content, in hex"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="length of the content"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it came into the pool",
        ),
        sa.Column(
            "removed_at", sa.DateTime(timezone=True), nullable=True, comment="when it left the pool"
        ),
        sa.Column(
            "blob",
            sa.Text(),
            sa.Computed(
                "CASE WHEN (removed_at IS NULL) THEN sha256 ELSE NULL::text END", persisted=True
            ),
            nullable=True,
            comment="the content in the store; null once it left the pool",
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("package_files_sha256_check")),
        sa.CheckConstraint("starts_with(path, 'pool/')", name=op.f("package_files_path_check")),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["apt_archives.id"], name=op.f("package_files_archive_id_fkey")
        ),
        sa.ForeignKeyConstraint(["blob"], ["blobs.sha256"], name=op.f("package_files_blob_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("package_files_pkey")),
        comment="The files of the pool, and those that left it.",
    )
    op.create_index(op.f("package_files_blob_idx"), "package_files", ["blob"], unique=False)
    op.create_index(
        "package_files_path_key",
        "package_files",
        ["archive_id", "path"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "publisher_runs",
        sa.Column("id", sa.Text(collation="C"), nullable=False, comment="ULID; sorts by time"),
        sa.Column(
            "operation",
            sa.Text(),
            nullable=False,
            comment="process-accepted, publish-distro, publish-ftpmaster",
        ),
        sa.Column("archive_id", sa.Integer(), nullable=False, comment="of what archive"),
        sa.Column(
            "options",
            postgresql.JSONB(astext_type=sa.Text()),
            nullable=False,
            comment="as they were asked for",
        ),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="running, succeeded, published_hook_failed, failed, abandoned",
        ),
        sa.Column("phase", sa.Text(), nullable=True, comment="the newest; null before the first"),
        sa.Column(
            "items_done",
            sa.BigInteger(),
            server_default="0",
            nullable=False,
            comment="of the phase",
        ),
        sa.Column("items_total", sa.BigInteger(), nullable=True, comment="of the phase"),
        sa.Column("caller", sa.Text(), nullable=False, comment="who asked for it"),
        sa.Column("holder", sa.Text(), nullable=False, comment="the process that ran it"),
        sa.Column(
            "reference_id", sa.Text(), nullable=True, comment="the caller's X-Context-Marker"
        ),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="the grant of the publisher lock",
        ),
        sa.Column(
            "fence", sa.BigInteger(), nullable=False, comment="of the grant: what guards its writes"
        ),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it began",
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it ended, however",
        ),
        sa.Column(
            "counts",
            postgresql.JSONB(astext_type=sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="how much of what it did",
        ),
        sa.Column(
            "notes",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="what was tolerated",
        ),
        sa.Column("error_code", sa.Text(), nullable=True, comment="of the reason in error_message"),
        sa.Column("error_message", sa.Text(), nullable=True, comment="why it failed"),
        sa.CheckConstraint(
            "(state = 'running') = (finished_at IS NULL)",
            name=op.f("publisher_runs_finished_check"),
        ),
        sa.CheckConstraint(
            "operation IN ('process-accepted', 'publish-distro', 'publish-ftpmaster')",
            name=op.f("publisher_runs_operation_check"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR error_code IS NOT NULL",
            name=op.f("publisher_runs_failed_says_why_check"),
        ),
        sa.CheckConstraint(
            "state IN ('running', 'succeeded', 'published_hook_failed', 'failed', 'abandoned')",
            name=op.f("publisher_runs_state_check"),
        ),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["apt_archives.id"], name=op.f("publisher_runs_archive_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("publisher_runs_pkey")),
        comment="One row an operation of the publisher.",
    )
    op.create_index(
        op.f("publisher_runs_archive_id_id_idx"),
        "publisher_runs",
        ["archive_id", "id"],
        unique=False,
    )
    op.create_index(op.f("publisher_runs_lock_id_idx"), "publisher_runs", ["lock_id"], unique=False)
    op.create_index(
        "publisher_runs_running_key",
        "publisher_runs",
        ["state"],
        unique=True,
        postgresql_where=sa.text("state = 'running'"),
    )
    op.create_table(
        "source_releases",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("archive_id", sa.Integer(), nullable=False, comment="its archive"),
        sa.Column(
            "package", sa.Text(collation="C"), nullable=False, comment="name of the source package"
        ),
        sa.Column("version", sa.Text(), nullable=False, comment="as its .dsc tells it"),
        sa.Column(
            "version_key",
            sa.Text(collation="C"),
            nullable=False,
            comment="its bytes sort as the versions do",
        ),
        sa.Column(
            "control", sa.Text(), nullable=False, comment="the stanza of its .dsc, word for word"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was first uploaded",
        ),
        sa.Column(
            "removed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its files left the pool",
        ),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["apt_archives.id"], name=op.f("source_releases_archive_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("source_releases_pkey")),
        comment="One row a version of a source package in an archive.",
    )
    op.create_index(
        "source_releases_version_key",
        "source_releases",
        ["archive_id", "package", "version_key"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "suites",
        sa.Column(
            "id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("archive_id", sa.Integer(), nullable=False, comment="its archive"),
        sa.Column("name", sa.Text(), nullable=False, comment="folder below dists"),
        sa.Column("codename", sa.Text(), nullable=False, comment="as Release tells it"),
        sa.Column(
            "aliases",
            postgresql.ARRAY(sa.Text()),
            server_default=sa.text("'{}'"),
            nullable=False,
            comment="served alike",
        ),
        sa.Column(
            "description",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="as Release tells it; empty: none",
        ),
        sa.Column(
            "immutable",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="takes no package",
        ),
        sa.Column(
            "auto_accept",
            sa.Boolean(),
            server_default=sa.text("true"),
            nullable=False,
            comment="else by hand",
        ),
        sa.Column(
            "not_automatic",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="NotAutomatic of Release: apt installs from it only when asked",
        ),
        sa.Column(
            "but_automatic_upgrades",
            sa.Boolean(),
            server_default=sa.text("false"),
            nullable=False,
            comment="ButAutomaticUpgrades of Release: but it upgrades what it installed",
        ),
        sa.Column(
            "dirty_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="null: the newest generation shows all that is published",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was made",
        ),
        sa.CheckConstraint(
            "name ~ '^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,127}$'", name=op.f("suites_name_check")
        ),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["apt_archives.id"], name=op.f("suites_archive_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("suites_pkey")),
        sa.UniqueConstraint("archive_id", "name", name=op.f("suites_archive_id_name_key")),
        comment="One row a suite, such as stable or stable-security.",
    )
    op.create_table(
        "architectures",
        sa.Column("suite_id", sa.Integer(), nullable=False, comment="its suite"),
        sa.Column("name", sa.Text(), nullable=False, comment="as dpkg names it; never all"),
        sa.CheckConstraint(
            "name ~ '^[a-z0-9][a-z0-9-]{0,63}$' AND name <> 'all'",
            name=op.f("architectures_name_check"),
        ),
        sa.ForeignKeyConstraint(
            ["suite_id"], ["suites.id"], name=op.f("architectures_suite_id_fkey")
        ),
        sa.PrimaryKeyConstraint("suite_id", "name", name=op.f("architectures_pkey")),
        comment="The architectures of a suite; packages for all are in each of them.",
    )
    op.create_table(
        "binary_releases",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("archive_id", sa.Integer(), nullable=False, comment="its archive"),
        sa.Column(
            "package", sa.Text(collation="C"), nullable=False, comment="name of the binary package"
        ),
        sa.Column("version", sa.Text(), nullable=False, comment="as its control file tells it"),
        sa.Column(
            "version_key",
            sa.Text(collation="C"),
            nullable=False,
            comment="its bytes sort as the versions do",
        ),
        sa.Column("architecture", sa.Text(collation="C"), nullable=False, comment="or all"),
        sa.Column("installer", sa.Boolean(), nullable=False, comment="whether it is a .udeb"),
        sa.Column(
            "source",
            sa.Text(collation="C"),
            nullable=False,
            comment="the source that it was built from",
        ),
        sa.Column(
            "source_version_key",
            sa.Text(collation="C"),
            nullable=False,
            comment="of the source that it was built from; its bytes sort as the versions do",
        ),
        sa.Column("control", sa.Text(), nullable=False, comment="its control file, word for word"),
        sa.Column("file_id", sa.BigInteger(), nullable=False, comment="the file of the pool"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was first uploaded",
        ),
        sa.Column(
            "removed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its file left the pool",
        ),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["apt_archives.id"], name=op.f("binary_releases_archive_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["file_id"], ["package_files.id"], name=op.f("binary_releases_file_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("binary_releases_pkey")),
        comment="One row a version of a binary package in an archive.",
    )
    op.create_index(
        op.f("binary_releases_archive_id_source_source_version_key_idx"),
        "binary_releases",
        ["archive_id", "source", "source_version_key"],
        unique=False,
    )
    op.create_index(
        op.f("binary_releases_file_id_idx"), "binary_releases", ["file_id"], unique=False
    )
    op.create_index(
        "binary_releases_installer_idx",
        "binary_releases",
        ["id"],
        unique=False,
        postgresql_where=sa.text("installer"),
    )
    op.create_index(
        "binary_releases_version_key",
        "binary_releases",
        ["archive_id", "package", "version_key", "architecture", "installer"],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "components",
        sa.Column("suite_id", sa.Integer(), nullable=False, comment="its suite"),
        sa.Column("name", sa.Text(), nullable=False, comment="as in sources.list"),
        sa.Column("position", sa.Integer(), nullable=False, comment="order in Release"),
        sa.CheckConstraint(
            "name ~ '^[a-z0-9][a-z0-9-]{0,63}$'", name=op.f("components_name_check")
        ),
        sa.ForeignKeyConstraint(["suite_id"], ["suites.id"], name=op.f("components_suite_id_fkey")),
        sa.PrimaryKeyConstraint("suite_id", "name", name=op.f("components_pkey")),
        comment="The components of a suite, such as main.",
    )
    op.create_table(
        "dists_generations",
        sa.Column("id", sa.Text(collation="C"), nullable=False, comment="ULID; sorts by time"),
        sa.Column("archive_id", sa.Integer(), nullable=False, comment="of what archive"),
        sa.Column("number", sa.BigInteger(), nullable=False, comment="counts up, per archive"),
        sa.Column(
            "content_number", sa.BigInteger(), nullable=False, comment="whose packages it lists"
        ),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="building, live, retired, reaped, abandoned"
        ),
        sa.Column(
            "run_id", sa.Text(collation="C"), nullable=True, comment="null: made by rolling back"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was begun",
        ),
        sa.Column(
            "live_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when clients first saw it",
        ),
        sa.Column(
            "retired_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when another took its place",
        ),
        sa.Column(
            "reaped_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its files were dropped",
        ),
        sa.Column(
            "pinned_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="kept until it is unpinned",
        ),
        sa.Column("pinned_by", sa.Text(), nullable=True, comment="who pinned it"),
        sa.CheckConstraint(
            "(state = 'reaped') = (reaped_at IS NOT NULL)",
            name=op.f("dists_generations_reaped_check"),
        ),
        sa.CheckConstraint(
            "(state IN ('live', 'retired', 'reaped')) = (live_at IS NOT NULL)",
            name=op.f("dists_generations_was_live_check"),
        ),
        sa.CheckConstraint(
            "(state IN ('retired', 'reaped')) = (retired_at IS NOT NULL)",
            name=op.f("dists_generations_retired_check"),
        ),
        sa.CheckConstraint(
            "pinned_at IS NULL OR state IN ('live', 'retired')",
            name=op.f("dists_generations_pinned_is_kept_check"),
        ),
        sa.CheckConstraint(
            "state IN ('building', 'live', 'retired', 'reaped', 'abandoned')",
            name=op.f("dists_generations_state_check"),
        ),
        sa.CheckConstraint(
            "content_number <= number", name=op.f("dists_generations_content_check")
        ),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["apt_archives.id"], name=op.f("dists_generations_archive_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["publisher_runs.id"], name=op.f("dists_generations_run_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("dists_generations_pkey")),
        sa.UniqueConstraint(
            "archive_id", "number", name=op.f("dists_generations_archive_id_number_key")
        ),
        comment="One row a state of an archive's dists that clients could see, or were to see.",
    )
    op.create_index(
        "dists_generations_live_key",
        "dists_generations",
        ["archive_id"],
        unique=True,
        postgresql_where=sa.text("state = 'live'"),
    )
    op.create_index(
        "dists_generations_retired_idx",
        "dists_generations",
        ["archive_id", "retired_at"],
        unique=False,
        postgresql_where=sa.text("state = 'retired'"),
    )
    op.create_table(
        "hook_runs",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("run_id", sa.Text(collation="C"), nullable=False, comment="of which run"),
        sa.Column("stage", sa.Text(), nullable=False, comment="before or after going live"),
        sa.Column("name", sa.Text(), nullable=False, comment="of the program's file"),
        sa.Column(
            "exit_code",
            sa.Integer(),
            nullable=True,
            comment="negative: the signal that ended it; null: none",
        ),
        sa.Column(
            "timed_out",
            sa.Boolean(),
            nullable=False,
            comment="whether it was ended for taking too long",
        ),
        sa.Column("seconds", sa.Double(), nullable=False, comment="how long it ran"),
        sa.Column("output", sa.Text(), nullable=False, comment="the end of it"),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it ended",
        ),
        sa.CheckConstraint("stage IN ('before', 'after')", name=op.f("hook_runs_stage_check")),
        sa.ForeignKeyConstraint(
            ["run_id"], ["publisher_runs.id"], name=op.f("hook_runs_run_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("hook_runs_pkey")),
        comment="One row an operator's program that a run started.",
    )
    op.create_index(op.f("hook_runs_run_id_idx"), "hook_runs", ["run_id"], unique=False)
    op.create_table(
        "index_files",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("suite_id", sa.Integer(), nullable=False, comment="of which suite"),
        sa.Column(
            "path",
            sa.Text(collation="C"),
            nullable=False,
            comment="below the suite, without the form's ending",
        ),
        sa.Column("form", sa.Text(), nullable=False, comment="plain, gz, xz, zst"),
        sa.Column("served", sa.Boolean(), nullable=False, comment="or listed in Release only"),
        sa.Column("layout", sa.Text(), nullable=False, comment="what it is made of"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="length in this form"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="in this form, in hex"),
        sa.Column(
            "first_number", sa.BigInteger(), nullable=False, comment="first generation that has it"
        ),
        sa.Column(
            "gone_number", sa.BigInteger(), nullable=True, comment="first generation that does not"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was made",
        ),
        sa.CheckConstraint(
            "form IN ('plain', 'gz', 'xz', 'zst')", name=op.f("index_files_form_check")
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("index_files_sha256_check")),
        sa.CheckConstraint("gone_number > first_number", name=op.f("index_files_numbers_check")),
        sa.ForeignKeyConstraint(
            ["layout"], ["index_layouts.sha256"], name=op.f("index_files_layout_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["suite_id"], ["suites.id"], name=op.f("index_files_suite_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("index_files_pkey")),
        comment="The index files of the generations that are kept.",
    )
    op.create_index(
        "index_files_current_key",
        "index_files",
        ["suite_id", "path", "form"],
        unique=True,
        postgresql_where=sa.text("gone_number IS NULL"),
    )
    op.create_index(
        "index_files_gone_idx", "index_files", ["suite_id", "gone_number"], unique=False
    )
    op.create_index(op.f("index_files_layout_idx"), "index_files", ["layout"], unique=False)
    op.create_index(
        op.f("index_files_suite_id_path_form_first_number_idx"),
        "index_files",
        ["suite_id", "path", "form", "first_number"],
        unique=False,
    )
    op.create_index(
        op.f("index_files_suite_id_sha256_idx"), "index_files", ["suite_id", "sha256"], unique=False
    )
    op.create_table(
        "release_files",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("suite_id", sa.Integer(), nullable=False, comment="of which suite"),
        sa.Column("name", sa.Text(), nullable=False, comment="Release, InRelease or Release.gpg"),
        sa.Column("content", sa.LargeBinary(), nullable=False, comment="its bytes"),
        sa.Column("sha256", sa.Text(), nullable=False, comment="of its bytes, in hex"),
        sa.Column(
            "dated_at", sa.DateTime(timezone=True), nullable=False, comment="what it says itself"
        ),
        sa.Column(
            "valid_until", sa.DateTime(timezone=True), nullable=True, comment="what it says itself"
        ),
        sa.Column(
            "first_number", sa.BigInteger(), nullable=False, comment="first generation that has it"
        ),
        sa.Column(
            "gone_number", sa.BigInteger(), nullable=True, comment="first generation that does not"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was made",
        ),
        sa.CheckConstraint(
            "name IN ('Release', 'InRelease', 'Release.gpg')", name=op.f("release_files_name_check")
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("release_files_sha256_check")),
        sa.CheckConstraint("gone_number > first_number", name=op.f("release_files_numbers_check")),
        sa.ForeignKeyConstraint(
            ["suite_id"], ["suites.id"], name=op.f("release_files_suite_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("release_files_pkey")),
        comment="The Releases of the generations that are kept, signed where there was a key.",
    )
    op.create_index(
        "release_files_current_key",
        "release_files",
        ["suite_id", "name"],
        unique=True,
        postgresql_where=sa.text("gone_number IS NULL"),
    )
    op.create_index(
        "release_files_number_idx",
        "release_files",
        ["suite_id", "name", "first_number"],
        unique=False,
    )
    op.create_table(
        "run_phases",
        sa.Column("run_id", sa.Text(collation="C"), nullable=False, comment="of which run"),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="0, 1, 2 ... in the order they began"
        ),
        sa.Column("phase", sa.Text(), nullable=False, comment="what was done in it"),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it began",
        ),
        sa.Column(
            "finished_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it ended; null: it did not",
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["publisher_runs.id"], name=op.f("run_phases_run_id_fkey")
        ),
        sa.PrimaryKeyConstraint("run_id", "position", name=op.f("run_phases_pkey")),
        comment="When each phase of a run began and ended.",
    )
    op.create_table(
        "source_release_files",
        sa.Column("source_release_id", sa.BigInteger(), nullable=False, comment="whose file it is"),
        sa.Column(
            "position", sa.Integer(), nullable=False, comment="0: the .dsc; then as it lists them"
        ),
        sa.Column("file_id", sa.BigInteger(), nullable=False, comment="the file of the pool"),
        sa.ForeignKeyConstraint(
            ["file_id"], ["package_files.id"], name=op.f("source_release_files_file_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["source_release_id"],
            ["source_releases.id"],
            name=op.f("source_release_files_source_release_id_fkey"),
        ),
        sa.PrimaryKeyConstraint(
            "source_release_id", "position", name=op.f("source_release_files_pkey")
        ),
        comment="The files of a source package; versions share them.",
    )
    op.create_index(
        op.f("source_release_files_file_id_idx"), "source_release_files", ["file_id"], unique=False
    )
    op.create_table(
        "distributions",
        sa.Column("archive_id", sa.Integer(), nullable=False, comment="of what archive"),
        sa.Column(
            "live_generation_id", sa.Text(collation="C"), nullable=False, comment="what clients see"
        ),
        sa.Column(
            "head_generation_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="the newest that was built from the packages; differs after rolling back",
        ),
        sa.Column(
            "changed_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when that changed last",
        ),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="who changed it"),
        sa.ForeignKeyConstraint(
            ["archive_id"], ["apt_archives.id"], name=op.f("distributions_archive_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["head_generation_id"],
            ["dists_generations.id"],
            name=op.f("distributions_head_generation_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["live_generation_id"],
            ["dists_generations.id"],
            name=op.f("distributions_live_generation_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("archive_id", name=op.f("distributions_pkey")),
        comment="What clients of each archive see: going live is one update of a row of this table.",
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.Text(collation="C"), nullable=False, comment="ULID; sorts by time"),
        sa.Column("suite_id", sa.Integer(), nullable=False, comment="where the package is to go"),
        sa.Column("component", sa.Text(), nullable=False, comment="where the package is to go"),
        sa.Column(
            "name", sa.Text(), nullable=False, comment="of the .deb, .udeb or .dsc, as it was sent"
        ),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="new, unapproved, accepted, done, rejected"
        ),
        sa.Column(
            "source_release_id",
            sa.BigInteger(),
            nullable=True,
            comment="what was in it, if it is a source package",
        ),
        sa.Column(
            "binary_release_id",
            sa.BigInteger(),
            nullable=True,
            comment="what was in it, if it is a binary package",
        ),
        sa.Column("caller", sa.Text(), nullable=False, comment="who sent it"),
        sa.Column(
            "reference_id", sa.Text(), nullable=True, comment="the caller's X-Context-Marker"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was sent",
        ),
        sa.Column(
            "decided_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was accepted or rejected by hand",
        ),
        sa.Column(
            "decided_by", sa.Text(), nullable=True, comment="who accepted or rejected it by hand"
        ),
        sa.Column(
            "done_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its package was published for the first time in the suite",
        ),
        sa.Column(
            "attempts", sa.Integer(), server_default="0", nullable=False, comment="that failed"
        ),
        sa.Column("error_code", sa.Text(), nullable=True, comment="of the reason in error_message"),
        sa.Column(
            "error_message",
            sa.Text(),
            nullable=True,
            comment="why it was rejected, or is not yet done",
        ),
        sa.CheckConstraint(
            "(state = 'done') = (done_at IS NOT NULL)", name=op.f("uploads_done_check")
        ),
        sa.CheckConstraint(
            "num_nonnulls(source_release_id, binary_release_id) = 1 OR (state = 'rejected' AND num_nonnulls(source_release_id, binary_release_id) = 0)",
            name=op.f("uploads_one_release_check"),
        ),
        sa.CheckConstraint(
            "state <> 'rejected' OR error_message IS NOT NULL",
            name=op.f("uploads_rejected_says_why_check"),
        ),
        sa.CheckConstraint(
            "state IN ('new', 'unapproved', 'accepted', 'done', 'rejected')",
            name=op.f("uploads_state_check"),
        ),
        sa.ForeignKeyConstraint(
            ["binary_release_id"],
            ["binary_releases.id"],
            name=op.f("uploads_binary_release_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["source_release_id"],
            ["source_releases.id"],
            name=op.f("uploads_source_release_id_fkey"),
        ),
        sa.ForeignKeyConstraint(["suite_id"], ["suites.id"], name=op.f("uploads_suite_id_fkey")),
        sa.PrimaryKeyConstraint("id", name=op.f("uploads_pkey")),
        comment="One row a package that somebody sent, with what became of it.",
    )
    op.create_index(
        "uploads_accepted_idx",
        "uploads",
        ["id"],
        unique=False,
        postgresql_where=sa.text("state = 'accepted'"),
    )
    op.create_index(
        op.f("uploads_binary_release_id_idx"), "uploads", ["binary_release_id"], unique=False
    )
    op.create_index(
        op.f("uploads_source_release_id_idx"), "uploads", ["source_release_id"], unique=False
    )
    op.create_index(op.f("uploads_suite_id_id_idx"), "uploads", ["suite_id", "id"], unique=False)
    op.create_table(
        "package_publications",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("suite_id", sa.Integer(), nullable=False, comment="where it is"),
        sa.Column("component", sa.Text(), nullable=False, comment="where it is"),
        sa.Column(
            "source_release_id",
            sa.BigInteger(),
            nullable=True,
            comment="what it is, if a source package",
        ),
        sa.Column(
            "binary_release_id",
            sa.BigInteger(),
            nullable=True,
            comment="what it is, if a binary package",
        ),
        sa.Column("package", sa.Text(collation="C"), nullable=False, comment="of the release"),
        sa.Column("upload_id", sa.Text(collation="C"), nullable=True, comment="that asked for it"),
        sa.Column(
            "state", sa.Text(), nullable=False, comment="pending, published, superseded, deleted"
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was accepted",
        ),
        sa.Column(
            "published_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was first to be in the index files",
        ),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was superseded or deleted",
        ),
        sa.Column(
            "superseded_by",
            sa.BigInteger(),
            nullable=True,
            comment="the publication that gave it way",
        ),
        sa.Column("deleted_by", sa.Text(), nullable=True, comment="who deleted it"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was deleted"),
        sa.Column(
            "scheduled_deletion_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="its files may leave the pool from then on",
        ),
        sa.Column(
            "removed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when its files had left the pool",
        ),
        sa.Column("error_message", sa.Text(), nullable=True, comment="why it is still pending"),
        sa.Column(
            "unlisted_since",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="set while the index files disagree with this row",
        ),
        sa.Column(
            "listed_in",
            sa.BigInteger(),
            nullable=True,
            comment="number of the first generation that lists it",
        ),
        sa.Column(
            "delisted_in",
            sa.BigInteger(),
            nullable=True,
            comment="number of the first generation without it",
        ),
        sa.CheckConstraint(
            "(state = 'superseded') = (superseded_by IS NOT NULL)",
            name=op.f("package_publications_superseded_check"),
        ),
        sa.CheckConstraint(
            "(state IN ('superseded', 'deleted')) = (ended_at IS NOT NULL)",
            name=op.f("package_publications_ended_check"),
        ),
        sa.CheckConstraint(
            "state <> 'deleted' OR (deleted_by IS NOT NULL AND reason IS NOT NULL)",
            name=op.f("package_publications_deleted_says_why_check"),
        ),
        sa.CheckConstraint(
            "state <> 'pending' OR unlisted_since IS NULL",
            name=op.f("package_publications_pending_is_not_listed_check"),
        ),
        sa.CheckConstraint(
            "state <> 'published' OR published_at IS NOT NULL",
            name=op.f("package_publications_published_check"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'published', 'superseded', 'deleted')",
            name=op.f("package_publications_state_check"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(source_release_id, binary_release_id) = 1",
            name=op.f("package_publications_one_release_check"),
        ),
        sa.CheckConstraint(
            "removed_at IS NULL OR scheduled_deletion_at IS NOT NULL",
            name=op.f("package_publications_removed_was_condemned_check"),
        ),
        sa.CheckConstraint(
            "scheduled_deletion_at IS NULL OR ended_at IS NOT NULL",
            name=op.f("package_publications_active_is_not_condemned_check"),
        ),
        sa.ForeignKeyConstraint(
            ["binary_release_id"],
            ["binary_releases.id"],
            name=op.f("package_publications_binary_release_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["source_release_id"],
            ["source_releases.id"],
            name=op.f("package_publications_source_release_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["suite_id"], ["suites.id"], name=op.f("package_publications_suite_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["upload_id"], ["uploads.id"], name=op.f("package_publications_upload_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("package_publications_pkey")),
        comment="One row a package in a suite, from when it was accepted until its files are gone.",
    )
    op.create_index(
        "package_publications_active_idx",
        "package_publications",
        ["suite_id", "package"],
        unique=False,
        postgresql_where=sa.text("state = 'published'"),
    )
    op.create_index(
        "package_publications_binary_key",
        "package_publications",
        ["suite_id", "binary_release_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL AND binary_release_id IS NOT NULL"),
    )
    op.create_index(
        op.f("package_publications_binary_release_id_idx"),
        "package_publications",
        ["binary_release_id"],
        unique=False,
    )
    op.create_index(
        "package_publications_condemned_idx",
        "package_publications",
        ["scheduled_deletion_at"],
        unique=False,
        postgresql_where=sa.text("scheduled_deletion_at IS NOT NULL AND removed_at IS NULL"),
    )
    op.create_index(
        "package_publications_ended_idx",
        "package_publications",
        ["suite_id"],
        unique=False,
        postgresql_where=sa.text("ended_at IS NOT NULL AND scheduled_deletion_at IS NULL"),
    )
    op.create_index(
        "package_publications_pending_idx",
        "package_publications",
        ["suite_id"],
        unique=False,
        postgresql_where=sa.text("state = 'pending'"),
    )
    op.create_index(
        "package_publications_source_key",
        "package_publications",
        ["suite_id", "source_release_id"],
        unique=True,
        postgresql_where=sa.text("ended_at IS NULL AND source_release_id IS NOT NULL"),
    )
    op.create_index(
        op.f("package_publications_source_release_id_idx"),
        "package_publications",
        ["source_release_id"],
        unique=False,
    )
    op.create_index(
        "package_publications_unlisted_idx",
        "package_publications",
        ["suite_id"],
        unique=False,
        postgresql_where=sa.text("unlisted_since IS NOT NULL"),
    )
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    op.get_bind().exec_driver_sql((SQL / "0008_publisher.sql").read_text().replace("%", "%%"))
