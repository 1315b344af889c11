"""Every table, its constraints included: an impossible row cannot be stored.

The comments are the documentation that auditors see in the database.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Interval,
    LargeBinary,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from staging_api.db import publisher_tables
from staging_api.db.columns import Time, Ulid, metadata, now, one_of

__all__ = [
    "api_locks",
    "archives",
    "blobs",
    "idempotency_keys",
    "lock_scopes",
    "lock_waiters",
    "metadata",
    "publisher_tables",
    "staged_artifacts",
    "staged_files",
    "stagings",
]

STAGING_STATES = ("queued", "running", "foreground_staged", "staged", "failed", "cancelled")
STAGING_FINAL_STATES = ("staged", "failed", "cancelled")
ARTIFACT_STATES = ("pending", "staging", "staged", "missing", "failed", "evicted")
LOCK_OUTCOMES = ("released", "expired", "broken", "superseded")

lock_scopes = Table(
    "lock_scopes",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("scope", Text, primary_key=True, comment="what the lock protects"),
    Column("lock_id", Ulid, comment="the grant that holds it; null: nobody"),
    Column("fence", BigInteger, nullable=False, comment="of the newest grant; never falls"),
    Column("caller", Text),
    Column("holder", Text),
    Column("reference_id", Text),
    Column("acquired_at", Time),
    Column("expires_at", Time, comment="with a lock_id: end of the lease; without: when vacated"),
    CheckConstraint("octet_length(scope) <= 2000", name="scope_length"),
    CheckConstraint(
        "lock_id IS NULL OR (expires_at IS NOT NULL AND acquired_at IS NOT NULL"
        " AND caller IS NOT NULL AND holder IS NOT NULL)",
        name="held",
    ),
    comment="One row a scope that was locked of late: decides who holds it.",
    # Room on each page and no index on a changing column: updates stay on their page (HOT).
    postgresql_with={
        "fillfactor": 50,
        "autovacuum_vacuum_scale_factor": 0,
        "autovacuum_vacuum_threshold": 500,
        "autovacuum_vacuum_cost_delay": 0,
    },
)

api_locks = Table(
    "api_locks",
    metadata,
    Column("id", Ulid, primary_key=True, comment="ULID of the grant"),
    Column("kind", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("caller", Text, nullable=False, comment="who asked"),
    Column("holder", Text, nullable=False, comment="the process that held it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column("fence", BigInteger, nullable=False, comment="rises from grant to grant of a scope"),
    Column("acquired_at", Time, nullable=False),
    Column("expires_at", Time, nullable=False, comment="end of the lease, as last renewed"),
    Column("ended_at", Time, comment="null while held"),
    Column("outcome", Text, comment="released, expired, broken or superseded; null while held"),
    Column("ended_by", Text, comment="process, person or, if superseded, the next grant"),
    Column("reason", Text, comment="why it was broken"),
    CheckConstraint("id ~ '^[0-7][0-9A-HJKMNP-TV-Z]{25}$'", name="id_is_ulid"),
    CheckConstraint(one_of("outcome", LOCK_OUTCOMES), name="outcome"),
    CheckConstraint("(outcome IS NULL) = (ended_at IS NULL)", name="ended"),
    CheckConstraint("ended_at >= acquired_at", name="ends_after_start"),
    CheckConstraint("outcome <> 'broken' OR reason IS NOT NULL", name="broken_says_why"),
    Index(None, "scope", "id"),
    comment="One row a grant: the history of every lock, each with exactly one outcome.",
    postgresql_partition_by="RANGE (id)",
)

lock_waiters = Table(
    "lock_waiters",
    metadata,
    Column(
        "place", BigInteger, Identity(always=True), primary_key=True, comment="order of arrival"
    ),
    Column("id", Ulid, nullable=False, unique=True, comment="id of the grant that is waited for"),
    Column("kind", Text, nullable=False),
    Column("scope", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("holder", Text, nullable=False),
    Column("reference_id", Text),
    Column("ttl", Interval, nullable=False),
    Column("seen_at", Time, nullable=False, comment="when the waiter last showed that it lives"),
    Column("leaves_at", Time, nullable=False),
    Index(None, "kind", "scope", "place"),
    comment="Who waits for a lock now, in order of arrival.",
)

archives = Table(
    "archives",
    metadata,
    Column("archive_url", Text, primary_key=True, comment="canonical, free of credentials"),
    Column("static_prefix", Text, nullable=False, unique=True, comment="folder below /static"),
    Column("created_at", Time, nullable=False, server_default=now),
    comment="Every archive ever staged, and the folder that is its own.",
)

stagings = Table(
    "stagings",
    metadata,
    Column("id", Ulid, primary_key=True),
    Column("archive_url", ForeignKey("archives.archive_url"), nullable=False),
    Column("state", Text, nullable=False, comment=", ".join(STAGING_STATES)),
    Column("requested", ARRAY(Text), nullable=False, comment="artifact names"),
    Column("caller", Text, nullable=False),
    Column("reference_id", Text),
    Column("created_at", Time, nullable=False, server_default=now),
    Column("foreground_staged_at", Time),
    Column("finished_at", Time),
    Column("cancel_requested_at", Time),
    Column("lock_id", Ulid, comment="the grant under which it was last worked on"),
    Column("fence", BigInteger),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("error_retryable", Boolean),
    Column("version", BigInteger, nullable=False, server_default="1", comment="rises on change"),
    CheckConstraint(one_of("state", STAGING_STATES), name="state"),
    CheckConstraint(
        f"({one_of('state', STAGING_FINAL_STATES)}) = (finished_at IS NOT NULL)", name="finished"
    ),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_says_why"),
    Index(None, "archive_url", "id"),
    Index(None, "reference_id", postgresql_where=text("reference_id IS NOT NULL")),
    Index("stagings_unfinished_idx", "id", postgresql_where=text("finished_at IS NULL")),
    comment="One row a request that made work.",
)

staged_artifacts = Table(
    "staged_artifacts",
    metadata,
    Column("id", Ulid, primary_key=True),
    Column("staging_id", ForeignKey("stagings.id"), nullable=False, comment="the newest for it"),
    Column("archive_url", ForeignKey("archives.archive_url"), nullable=False),
    Column("name", Text, nullable=False, comment="entry of the catalogue"),
    Column("lock_kind", Text, nullable=False, comment="the lock under which it is staged"),
    Column("phase", Text, nullable=False, comment="foreground or background"),
    Column("state", Text, nullable=False, comment=", ".join(ARTIFACT_STATES)),
    Column("path", Text, nullable=False, comment="below /static; a folder ends in /"),
    Column("size_bytes", BigInteger, comment="of what sha256 is of"),
    Column("sha256", Text, comment="of the source object, or of the file taken out of it"),
    Column("source_url", Text),
    Column("source_version", Text, comment="generation or ETag of the source object"),
    Column("lock_id", Ulid, comment="the grant under which the state was written"),
    Column("fence", BigInteger),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("next_attempt_at", Time, comment="not before; null: at once"),
    Column("bytes_done", BigInteger, nullable=False, server_default="0"),
    Column("bytes_total", BigInteger),
    Column("bytes_per_second", Double),
    Column("created_at", Time, nullable=False, server_default=now),
    Column("started_at", Time, comment="of the newest attempt"),
    Column("staged_at", Time),
    Column("last_accessed_at", Time),
    Column("pinned_until", Time),
    Column("evicted_at", Time),
    Column("error_code", Text),
    Column("error_message", Text),
    Column("error_retryable", Boolean),
    CheckConstraint("phase IN ('foreground', 'background')", name="phase"),
    CheckConstraint(one_of("state", ARTIFACT_STATES), name="state"),
    CheckConstraint(
        "state <> 'staged' OR (sha256 IS NOT NULL AND size_bytes IS NOT NULL"
        " AND staged_at IS NOT NULL AND source_url IS NOT NULL AND fence IS NOT NULL)",
        name="staged_is_proven",
    ),
    CheckConstraint("(state = 'evicted') = (evicted_at IS NOT NULL)", name="evicted"),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_says_why"),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    CheckConstraint("size_bytes >= 0 AND bytes_done >= 0", name="sizes"),
    Index(
        "staged_artifacts_live_key",
        "archive_url",
        "name",
        "path",
        unique=True,
        postgresql_where=text("state <> 'evicted'"),
    ),
    Index(None, "staging_id"),
    Index(
        "staged_artifacts_due_idx",
        "next_attempt_at",
        postgresql_where=text("state IN ('pending', 'staging')"),
    ),
    comment="What is staged, and all that is known of it; no other mark says 'staged'.",
)

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Text, primary_key=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("stored_at", Time, nullable=False, server_default=now),
    CheckConstraint("sha256 ~ '^[0-9a-f]{64}$'", name="sha256"),
    comment="Contents that are durably in the store.",
)

staged_files = Table(
    "staged_files",
    metadata,
    Column("artifact_id", ForeignKey("staged_artifacts.id"), primary_key=True),
    Column("path", Text, primary_key=True, comment="below /static"),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("executable", Boolean, nullable=False, server_default=text("false")),
    Index(None, "path"),
    Index(None, "sha256"),
    comment="The files of a staged artifact: served while its artifact is in state 'staged'.",
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("caller", Text, primary_key=True),
    Column("key", Text, primary_key=True, comment="the caller's Idempotency-Key"),
    Column("request_sha256", Text, nullable=False, comment="of method, path, query and body"),
    Column("status", Integer, nullable=False),
    Column("headers", JSONB, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("created_at", Time, nullable=False, server_default=now),
    Index(None, "created_at"),
    comment="Answers that are given again to the same request.",
)
