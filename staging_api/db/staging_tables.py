"""The tables of staging: archives, requests, their artifacts, and the files of these."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from staging_api.db.schema import Time, Ulid, is_sha256, metadata, now, one_of
from staging_api.vocabulary.staging import (
    ARTIFACT_STATES,
    EVICT_REASONS,
    FINAL_STATES,
    PHASES,
    STAGING_STATES,
    TO_DO_STATES,
)

archives = Table(
    "archives",
    metadata,
    Column("archive_url", Text, primary_key=True, comment="canonical, free of credentials"),
    Column("static_prefix", Text, nullable=False, unique=True, comment="folder below /static"),
    Column(
        "created_at",
        Time,
        nullable=False,
        server_default=now,
        comment="when it was first asked for",
    ),
    comment="Every archive ever staged, and the folder that is its own.",
)

stagings = Table(
    "stagings",
    metadata,
    Column("id", Ulid, primary_key=True, comment="ULID of the request's work"),
    Column(
        "archive_url",
        ForeignKey("archives.archive_url"),
        nullable=False,
        comment="canonical, free of credentials",
    ),
    Column("state", Text, nullable=False, comment=", ".join(STAGING_STATES)),
    Column("requested", ARRAY(Text), nullable=False, comment="artifact names"),
    Column("caller", Text, nullable=False, comment="who asked"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column(
        "created_at", Time, nullable=False, server_default=now, comment="when it was written down"
    ),
    Column(
        "foreground_staged_at", Time, comment="when all that the caller waits for was staged first"
    ),
    Column("finished_at", Time, comment="when it reached its final state; null until then"),
    Column("cancel_requested_at", Time, comment="when somebody asked to stop it"),
    Column("lock_id", Ulid, comment="the grant under which it was last worked on"),
    Column("fence", BigInteger, comment="of the grant under which it was last worked on"),
    Column(
        "attempt",
        Integer,
        nullable=False,
        server_default="0",
        comment="how often somebody began to work on it",
    ),
    Column("error_code", Text, comment="of the first artifact that failed; as in the API"),
    Column("error_message", Text, comment="one sentence for this failure"),
    Column("error_retryable", Boolean, comment="whether the same request can succeed later"),
    Column("version", BigInteger, nullable=False, server_default="1", comment="rises on change"),
    Column(
        "upload_wait_seconds",
        Double,
        comment="how long its caller would wait for an archive that is not there; null: not said",
    ),
    Column("upload_wait_began_at", Time, comment="when it first waited for an upload"),
    Column("upload_wait_ended_at", Time, comment="null while it waits"),
    Column("waiting_for", ARRAY(Text), comment="artifacts whose upload it waits for just now"),
    Column("events_count", BigInteger, nullable=False, server_default="0", comment="of its events"),
    Column(
        "events_dropped", BigInteger, nullable=False, server_default="0", comment="for their age"
    ),
    Column("events_digest", Text, comment="digest of its newest event"),
    Column(
        "artifact_ids", ARRAY(Text), comment="the artifacts that it ended with; null until then"
    ),
    Column("failures", JSONB, comment="how artifacts failed for it, by their id; null: none did"),
    Column(
        "joined", ARRAY(Text), comment="artifacts that others asked for and leave to it; null: none"
    ),
    Column("joined_by", Text, comment="the first caller who left artifacts to it"),
    Column(
        "turn_of",
        Text,
        comment="whose turn it takes among callers: of one without a name, that of the client's"
        " address; null: the caller's",
    ),
    CheckConstraint(one_of("state", STAGING_STATES), name="state"),
    CheckConstraint(
        f"({one_of('state', FINAL_STATES)}) = (finished_at IS NOT NULL)", name="finished"
    ),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_says_why"),
    Index(None, "archive_url", "id"),
    Index(None, "reference_id", postgresql_where=text("reference_id IS NOT NULL")),
    Index(None, "caller", "id"),
    Index("stagings_unfinished_idx", "id", postgresql_where=text("finished_at IS NULL")),
    Index(
        # For the version before.
        "stagings_turn_idx",
        text("(state = 'foreground_staged')"),
        "caller",
        "id",
        postgresql_where=text("finished_at IS NULL"),
    ),
    Index(
        "stagings_turn_of_idx",
        text("(state = 'foreground_staged')"),
        text("(coalesce(turn_of, caller))"),
        "id",
        postgresql_where=text("finished_at IS NULL"),
    ),
    comment="One row a request that made work.",
)

staged_artifacts = Table(
    "staged_artifacts",
    metadata,
    Column("id", Ulid, primary_key=True, comment="ULID; another one after an eviction"),
    Column("staging_id", ForeignKey("stagings.id"), nullable=False, comment="the newest for it"),
    Column(
        "archive_url",
        ForeignKey("archives.archive_url"),
        nullable=False,
        comment="canonical, free of credentials",
    ),
    Column("name", Text, nullable=False, comment="entry of the catalogue"),
    Column("lock_kind", Text, nullable=False, comment="the lock under which it is staged"),
    Column("phase", Text, nullable=False, comment=" or ".join(PHASES)),
    Column("state", Text, nullable=False, comment=", ".join(ARTIFACT_STATES)),
    Column("path", Text, nullable=False, comment="below /static; a folder ends in /"),
    Column("size_bytes", BigInteger, comment="of what sha256 is of"),
    Column("sha256", Text, comment="of the source object, or of the file taken out of it"),
    Column("source_url", Text, comment="the object it came from; of several, the archive"),
    Column("source_version", Text, comment="generation or ETag of the source object"),
    Column(
        "verified_by",
        Text,
        comment="digests that the source told of the object and that it has; null: it told none",
    ),
    Column(
        "held_by",
        Text,
        comment="why it, or a part of it, was not fetched: version, sha256; null: all of it was",
    ),
    Column("lock_id", Ulid, comment="the grant under which the state was written"),
    Column("fence", BigInteger, comment="of the grant under which the state was written"),
    Column(
        "attempt", Integer, nullable=False, server_default="0", comment="how often it was begun"
    ),
    Column("next_attempt_at", Time, comment="not before; null: at once"),
    Column(
        "bytes_done",
        BigInteger,
        nullable=False,
        server_default="0",
        comment="read from the source in the newest attempt",
    ),
    Column("bytes_total", BigInteger, comment="that will be read; null: not known"),
    Column("bytes_per_second", Double, comment="in the newest attempt; null unless it runs"),
    Column(
        "created_at",
        Time,
        nullable=False,
        server_default=now,
        comment="when it was first asked for",
    ),
    Column("started_at", Time, comment="of the newest attempt"),
    Column("staged_at", Time, comment="since when its files are served"),
    Column("last_accessed_at", Time, comment="last read of a file of it, to about a minute"),
    Column("pinned_until", Time, comment="not evicted before; null: not pinned"),
    Column("evicted_at", Time, comment="since when its files are no longer served"),
    Column("evict_reason", Text, comment=", ".join(EVICT_REASONS)),
    Column("error_code", Text, comment="of the newest failure; as in the API"),
    Column("error_message", Text, comment="one sentence for this failure"),
    Column("error_retryable", Boolean, comment="whether another attempt can succeed"),
    Column(
        "version",
        BigInteger,
        nullable=False,
        server_default="1",
        comment="rises with every change but that of last_accessed_at",
    ),
    CheckConstraint(one_of("phase", PHASES), name="phase"),
    CheckConstraint(one_of("state", ARTIFACT_STATES), name="state"),
    CheckConstraint(
        "state <> 'staged' OR (sha256 IS NOT NULL AND size_bytes IS NOT NULL"
        " AND staged_at IS NOT NULL AND source_url IS NOT NULL AND fence IS NOT NULL)",
        name="staged_is_proven",
    ),
    CheckConstraint("(state = 'evicted') = (evicted_at IS NOT NULL)", name="evicted"),
    CheckConstraint(one_of("evict_reason", EVICT_REASONS), name="evict_reason"),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_says_why"),
    CheckConstraint(is_sha256("sha256"), name="sha256"),
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
        postgresql_where=text(one_of("state", TO_DO_STATES)),
    ),
    Index(
        "staged_artifacts_coming_idx",
        "path",
        postgresql_where=text(one_of("state", TO_DO_STATES)),
    ),
    Index(None, "archive_url", "name"),
    Index(None, "sha256"),
    Index(
        "staged_artifacts_fetched_idx",
        "source_url",
        "source_version",
        "name",
        postgresql_where=text("staged_at IS NOT NULL AND held_by IS NULL"),
    ),
    Index(
        "staged_artifacts_unverified_idx",
        "name",
        postgresql_include=["source_url", "size_bytes", "staged_at"],
        postgresql_where=text("state = 'staged' AND verified_by IS NULL"),
    ),
    Index(
        "staged_artifacts_staged_idx",
        "staged_at",
        postgresql_where=text("staged_at IS NOT NULL"),
    ),
    Index(
        "staged_artifacts_evicted_idx",
        "evicted_at",
        postgresql_where=text("evicted_at IS NOT NULL"),
    ),
    Index(
        "staged_artifacts_idle_idx",
        text("coalesce(last_accessed_at, staged_at)"),
        postgresql_where=text("state = 'staged'"),
    ),
    comment="What is staged, and all that is known of it; no other mark says 'staged'.",
)

staged_files = Table(
    "staged_files",
    metadata,
    Column(
        "artifact_id",
        ForeignKey("staged_artifacts.id"),
        primary_key=True,
        comment="whose file it is",
    ),
    Column("path", Text, primary_key=True, comment="below /static"),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False, comment="of the content"),
    Column("size_bytes", BigInteger, nullable=False, comment="length of the content"),
    Column(
        "executable",
        Boolean,
        nullable=False,
        server_default=text("false"),
        comment="whether the archive marked it so",
    ),
    Index(None, "path"),
    Index("staged_files_folder_idx", text('path COLLATE "C"')),
    Index(None, "sha256"),
    comment="The files of a staged artifact: served while its artifact is in state 'staged'.",
)
