"""The lock and the staging record."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from staging_api.db.schema import Domain

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    _run_sql("0001_domains.sql")
    op.create_table(
        "api_locks",
        sa.Column("id", Domain("ulid"), nullable=False, comment="ULID of the grant"),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", Domain("lock_scope"), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False, comment="who asked"),
        sa.Column("holder", sa.Text(), nullable=False, comment="the process that held it"),
        sa.Column(
            "reference_id", sa.Text(), nullable=True, comment="the caller's X-Context-Marker"
        ),
        sa.Column(
            "fence", sa.BigInteger(), nullable=False, comment="rises from grant to grant of a scope"
        ),
        sa.Column("acquired_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="end of the lease, as last renewed",
        ),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True, comment="null while held"),
        sa.Column(
            "outcome",
            Domain("lock_outcome"),
            nullable=True,
            comment="released, expired, broken or superseded; null while held",
        ),
        sa.Column(
            "ended_by",
            sa.Text(),
            nullable=True,
            comment="process, person or, if superseded, the next grant",
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="why it was broken"),
        sa.CheckConstraint(
            "num_nulls(outcome, ended_at) <> 1 AND coalesce(ended_at >= acquired_at, true) AND (outcome IS DISTINCT FROM 'broken' OR reason IS NOT NULL)",
            name=op.f("api_locks_ended_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("api_locks_pkey")),
        comment="One row a grant: the history of every lock, each with exactly one outcome.",
        postgresql_partition_by="RANGE (id)",
    )
    op.create_index(op.f("api_locks_scope_id_idx"), "api_locks", ["scope", "id"], unique=False)
    op.create_table(
        "archives",
        sa.Column(
            "archive_url", sa.Text(), nullable=False, comment="canonical, free of credentials"
        ),
        sa.Column("static_prefix", sa.Text(), nullable=False, comment="folder below /static"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("archive_url", name=op.f("archives_pkey")),
        sa.UniqueConstraint("static_prefix", name=op.f("archives_static_prefix_key")),
        comment="Every archive ever staged, and the folder that is its own.",
    )
    op.create_table(
        "blobs",
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column(
            "stored_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("blobs_sha256_check")),
        sa.PrimaryKeyConstraint("sha256", name=op.f("blobs_pkey")),
        comment="Contents that are durably in the store.",
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False, comment="the caller's Idempotency-Key"),
        sa.Column(
            "request_sha256", sa.Text(), nullable=False, comment="of method, path, query and body"
        ),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("headers", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("caller", "key", name=op.f("idempotency_keys_pkey")),
        comment="Answers that are given again to the same request.",
    )
    op.create_index(
        op.f("idempotency_keys_created_at_idx"), "idempotency_keys", ["created_at"], unique=False
    )
    op.create_table(
        "lock_scopes",
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", Domain("lock_scope"), nullable=False, comment="what the lock protects"),
        sa.Column(
            "lock_id",
            Domain("ulid"),
            nullable=True,
            comment="the grant that holds it; null: nobody",
        ),
        sa.Column(
            "fence", sa.BigInteger(), nullable=False, comment="of the newest grant; never falls"
        ),
        sa.Column("caller", sa.Text(), nullable=True),
        sa.Column("holder", sa.Text(), nullable=True),
        sa.Column("reference_id", sa.Text(), nullable=True),
        sa.Column("acquired_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "expires_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="with a lock_id: end of the lease; without: when vacated",
        ),
        sa.CheckConstraint(
            "lock_id IS NULL OR num_nulls(expires_at, acquired_at, caller, holder) = 0",
            name=op.f("lock_scopes_held_check"),
        ),
        sa.PrimaryKeyConstraint("kind", "scope", name=op.f("lock_scopes_pkey")),
        comment="One row a scope that was locked of late: decides who holds it.",
        postgresql_with={
            "fillfactor": 50,
            "autovacuum_vacuum_scale_factor": 0,
            "autovacuum_vacuum_threshold": 500,
            "autovacuum_vacuum_cost_delay": 0,
        },
    )
    op.create_table(
        "lock_waiters",
        sa.Column(
            "place",
            sa.BigInteger(),
            sa.Identity(always=True),
            nullable=False,
            comment="order of arrival",
        ),
        sa.Column(
            "id",
            sa.Text(collation="C"),
            nullable=False,
            comment="id of the grant that is waited for",
        ),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("reference_id", sa.Text(), nullable=True),
        sa.Column("ttl", sa.Interval(), nullable=False),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when the waiter last showed that it lives",
        ),
        sa.Column("leaves_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("place", name=op.f("lock_waiters_pkey")),
        sa.UniqueConstraint("id", name=op.f("lock_waiters_id_key")),
        comment="Who waits for a lock now, in order of arrival.",
    )
    op.create_index(
        op.f("lock_waiters_kind_scope_place_idx"),
        "lock_waiters",
        ["kind", "scope", "place"],
        unique=False,
    )
    op.create_table(
        "stagings",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column("archive_url", sa.Text(), nullable=False),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="queued, running, foreground_staged, staged, failed, cancelled",
        ),
        sa.Column("requested", sa.ARRAY(sa.Text()), nullable=False, comment="artifact names"),
        sa.Column("caller", sa.Text(), nullable=False),
        sa.Column("reference_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column("foreground_staged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            nullable=True,
            comment="the grant under which it was last worked on",
        ),
        sa.Column("fence", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_retryable", sa.Boolean(), nullable=True),
        sa.Column(
            "version",
            sa.BigInteger(),
            server_default="1",
            nullable=False,
            comment="rises on change",
        ),
        sa.CheckConstraint(
            "(state IN ('staged', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("stagings_finished_check"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR error_code IS NOT NULL",
            name=op.f("stagings_failed_says_why_check"),
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'foreground_staged', 'staged', 'failed', 'cancelled')",
            name=op.f("stagings_state_check"),
        ),
        sa.ForeignKeyConstraint(
            ["archive_url"], ["archives.archive_url"], name=op.f("stagings_archive_url_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("stagings_pkey")),
        comment="One row a request that made work.",
    )
    op.create_index(
        op.f("stagings_archive_url_id_idx"), "stagings", ["archive_url", "id"], unique=False
    )
    op.create_index(
        op.f("stagings_reference_id_idx"),
        "stagings",
        ["reference_id"],
        unique=False,
        postgresql_where=sa.text("reference_id IS NOT NULL"),
    )
    op.create_index(
        "stagings_unfinished_idx",
        "stagings",
        ["id"],
        unique=False,
        postgresql_where=sa.text("finished_at IS NULL"),
    )
    op.create_table(
        "staged_artifacts",
        sa.Column("id", sa.Text(collation="C"), nullable=False),
        sa.Column(
            "staging_id", sa.Text(collation="C"), nullable=False, comment="the newest for it"
        ),
        sa.Column("archive_url", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False, comment="entry of the catalogue"),
        sa.Column(
            "lock_kind", sa.Text(), nullable=False, comment="the lock under which it is staged"
        ),
        sa.Column("phase", sa.Text(), nullable=False, comment="foreground or background"),
        sa.Column(
            "state",
            sa.Text(),
            nullable=False,
            comment="pending, staging, staged, missing, failed, evicted",
        ),
        sa.Column("path", sa.Text(), nullable=False, comment="below /static; a folder ends in /"),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True, comment="of what sha256 is of"),
        sa.Column(
            "sha256",
            sa.Text(),
            nullable=True,
            comment="of the source object, or of the file taken out of it",
        ),
        sa.Column("source_url", sa.Text(), nullable=True),
        sa.Column(
            "source_version",
            sa.Text(),
            nullable=True,
            comment="generation or ETag of the source object",
        ),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            nullable=True,
            comment="the grant under which the state was written",
        ),
        sa.Column("fence", sa.BigInteger(), nullable=True),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column(
            "next_attempt_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="not before; null: at once",
        ),
        sa.Column("bytes_done", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("bytes_total", sa.BigInteger(), nullable=True),
        sa.Column("bytes_per_second", sa.Double(), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
        ),
        sa.Column(
            "started_at", sa.DateTime(timezone=True), nullable=True, comment="of the newest attempt"
        ),
        sa.Column("staged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_accessed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("pinned_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("evicted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("error_code", sa.Text(), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("error_retryable", sa.Boolean(), nullable=True),
        sa.CheckConstraint(
            "(state = 'evicted') = (evicted_at IS NOT NULL)",
            name=op.f("staged_artifacts_evicted_check"),
        ),
        sa.CheckConstraint(
            "phase IN ('foreground', 'background')", name=op.f("staged_artifacts_phase_check")
        ),
        sa.CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name=op.f("staged_artifacts_sha256_check")),
        sa.CheckConstraint(
            "state <> 'failed' OR error_code IS NOT NULL",
            name=op.f("staged_artifacts_failed_says_why_check"),
        ),
        sa.CheckConstraint(
            "state <> 'staged' OR (sha256 IS NOT NULL AND size_bytes IS NOT NULL AND staged_at IS NOT NULL AND source_url IS NOT NULL AND fence IS NOT NULL)",
            name=op.f("staged_artifacts_staged_is_proven_check"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'staging', 'staged', 'missing', 'failed', 'evicted')",
            name=op.f("staged_artifacts_state_check"),
        ),
        sa.CheckConstraint(
            "size_bytes >= 0 AND bytes_done >= 0", name=op.f("staged_artifacts_sizes_check")
        ),
        sa.ForeignKeyConstraint(
            ["archive_url"],
            ["archives.archive_url"],
            name=op.f("staged_artifacts_archive_url_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["staging_id"], ["stagings.id"], name=op.f("staged_artifacts_staging_id_fkey")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("staged_artifacts_pkey")),
        comment="What is staged, and all that is known of it; no other mark says 'staged'.",
    )
    op.create_index(
        "staged_artifacts_due_idx",
        "staged_artifacts",
        ["next_attempt_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('pending', 'staging')"),
    )
    op.create_index(
        "staged_artifacts_live_key",
        "staged_artifacts",
        ["archive_url", "name", "path"],
        unique=True,
        postgresql_where=sa.text("state <> 'evicted'"),
    )
    op.create_index(
        op.f("staged_artifacts_staging_id_idx"), "staged_artifacts", ["staging_id"], unique=False
    )
    op.create_table(
        "staged_files",
        sa.Column("artifact_id", sa.Text(collation="C"), nullable=False),
        sa.Column("path", sa.Text(), nullable=False, comment="below /static"),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("executable", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.ForeignKeyConstraint(
            ["artifact_id"], ["staged_artifacts.id"], name=op.f("staged_files_artifact_id_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["sha256"], ["blobs.sha256"], name=op.f("staged_files_sha256_fkey")
        ),
        sa.PrimaryKeyConstraint("artifact_id", "path", name=op.f("staged_files_pkey")),
        comment="The files of a staged artifact: served while its artifact is in state 'staged'.",
    )
    op.create_index(op.f("staged_files_path_idx"), "staged_files", ["path"], unique=False)
    op.create_index(op.f("staged_files_sha256_idx"), "staged_files", ["sha256"], unique=False)
    _run_sql("0001_lock_history.sql")
    _run_sql("0001_locks.sql")


def _run_sql(name: str) -> None:
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    op.get_bind().exec_driver_sql((SQL / name).read_text().replace("%", "%%"))
