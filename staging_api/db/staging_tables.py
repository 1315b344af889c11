"""Tables of staging: archives, requests, and their artifacts."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from staging_api.db.schema import (
    Time,
    Ulid,
    counter,
    index_where,
    is_sha256,
    key,
    key_where,
    now,
    one_of,
    required,
    table,
    words,
)
from staging_api.vocabulary.staging import (
    ARTIFACT_STATES,
    ENDED_EARLY_STATES,
    EVICT_REASONS,
    FINAL_STATES,
    PHASES,
    STAGING_STATES,
    TO_DO_STATES,
)

archives = table(
    "archives",
    key("archive_url", Text, comment="canonical, free of credentials"),
    required("static_prefix", Text, unique=True, comment="folder below /static"),
    required("created_at", Time, server_default=now, comment="when it was first requested"),
    # For lists by URL prefix: a range of bytes, which needs a bytewise collation.
    Index("archives_prefix_idx", text('archive_url COLLATE "C"')),
    # For search by the last segment; a query must repeat the expression letter for letter.
    Index("archives_name_idx", text("substring(archive_url COLLATE \"C\", '[^/]*$')")),
    comment="Every archive that was ever staged, with its folder below /static.",
)

stagings = table(
    "stagings",
    key("id", Ulid, comment="ULID of the staging"),
    required(
        "archive_url", ForeignKey("archives.archive_url"), comment="canonical, free of credentials"
    ),
    *words("state", STAGING_STATES),
    required("requested", ARRAY(Text), comment="artifact names"),
    required("caller", Text, comment="the caller that requested it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    required("created_at", Time, server_default=now, comment="when it was recorded"),
    Column("foreground_staged_at", Time, comment="when all foreground artifacts were first staged"),
    Column("finished_at", Time, comment="when it reached its final state; null until then"),
    Column("cancel_requested_at", Time, comment="when its cancellation was requested"),
    Column("lock_id", Ulid, comment="the grant under which it was last worked on"),
    Column("fence", BigInteger, comment="of the grant under which it was last worked on"),
    counter("attempt", Integer, comment="how often work on it began"),
    Column("error_code", Text, comment="of the first artifact that failed; as in the API"),
    Column("error_message", Text, comment="one sentence for this failure"),
    Column("error_retryable", Boolean, comment="whether the same request can succeed later"),
    required("version", BigInteger, server_default="1", comment="rises with every change"),
    Column(
        "upload_wait_seconds",
        Double,
        comment="how long it waits for an archive to be uploaded; null: not specified",
    ),
    Column("upload_wait_began_at", Time, comment="when it first waited for an upload"),
    Column("upload_wait_ended_at", Time, comment="null while it waits"),
    Column("waiting_for", ARRAY(Text), comment="artifacts whose upload it waits for now"),
    counter("events_count", BigInteger, comment="number of its events"),
    counter(
        "events_dropped", BigInteger, comment="number of its events that were dropped for their age"
    ),
    Column("events_digest", Text, comment="digest of its newest event"),
    Column(
        "artifact_ids", ARRAY(Text), comment="the artifacts that it ended with; null until then"
    ),
    Column("failures", JSONB, comment="errors of artifacts for this staging, by id; null: none"),
    Column(
        "joined", ARRAY(Text), comment="artifacts that other requests rely on it for; null: none"
    ),
    Column("joined_by", Text, comment="the first caller that relies on it"),
    Column(
        "turn_of",
        Text,
        comment="whose share of workers it uses: address of a nameless client; null: the caller",
    ),
    CheckConstraint(
        f"({one_of('state', FINAL_STATES)}) = (finished_at IS NOT NULL)", name="finished"
    ),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_says_why"),
    CheckConstraint(
        "cardinality(requested) > 0 AND attempt >= 0 AND (lock_id IS NULL) = (fence IS NULL)",
        name="request",
    ),
    CheckConstraint(
        "(state NOT IN ('foreground_staged', 'staged') OR foreground_staged_at IS NOT NULL)"
        " AND (state <> 'staged' OR error_code IS NULL)"
        " AND (finished_at IS NOT NULL OR artifact_ids IS NULL)"
        " AND (error_code IS NOT NULL OR num_nonnulls(error_message, error_retryable) = 0)",
        name="outcome",
    ),
    CheckConstraint(
        "upload_wait_seconds >= 0 AND CASE WHEN upload_wait_began_at IS NULL"
        " THEN num_nonnulls(upload_wait_ended_at, waiting_for) = 0"
        " ELSE num_nonnulls(upload_wait_ended_at, waiting_for) = 1 END",
        name="upload_wait",
    ),
    CheckConstraint(
        "events_dropped BETWEEN 0 AND events_count"
        " AND (events_count = 0) = (events_digest IS NULL)",
        name="events",
    ),
    CheckConstraint("(joined IS NULL) = (joined_by IS NULL)", name="joined"),
    Index(None, "archive_url", "id"),
    # Most requests send no marker, and cost nothing in this index.
    index_where("reference_id IS NOT NULL", None, "reference_id"),
    Index(None, "caller", "id"),
    # Each worker looks here ten times a second, however long the history is.
    index_where("finished_at IS NULL", "stagings_unfinished_idx", "id"),
    # One index probe for each caller with artifacts to do (`reading.due`).
    index_where(
        "finished_at IS NULL",
        "stagings_turn_of_idx",
        text("(state = 'foreground_staged')"),
        text("(coalesce(turn_of, caller))"),
        "id",
    ),
    # Lists of failures by code.
    index_where("error_code IS NOT NULL", "stagings_error_code_idx", "error_code", "id"),
    # Lists of failed or cancelled stagings, which are few among the staged ones.
    index_where(one_of("state", ENDED_EARLY_STATES), "stagings_ended_early_idx", "state", "id"),
    comment="One row per request that caused work.",
)

staged_artifacts = table(
    "staged_artifacts",
    key("id", Ulid, comment="ULID; a new one after an eviction"),
    required("staging_id", ForeignKey("stagings.id"), comment="newest staging for it"),
    required(
        "archive_url", ForeignKey("archives.archive_url"), comment="canonical, free of credentials"
    ),
    required("name", Text, comment="entry of the catalogue"),
    required("lock_kind", Text, comment="the lock under which it is staged"),
    required("phase", Text, comment=" or ".join(PHASES)),
    *words("state", ARTIFACT_STATES),
    required("path", Text, comment="below /static; a folder ends in /"),
    Column("size_bytes", BigInteger, comment="length of the content that has the digest sha256"),
    Column("sha256", Text, comment="of the source object, or of the file extracted from it"),
    Column("source_url", Text, comment="the source object; of several, the archive"),
    Column("source_version", Text, comment="generation or ETag of the source object"),
    Column(
        "verified_by", Text, comment="declared digests that were verified; null: none was declared"
    ),
    Column(
        "held_by",
        Text,
        comment="how cache hits were found: version, sha256; null: all of it was downloaded",
    ),
    Column("lock_id", Ulid, comment="the grant under which the state was written"),
    Column("fence", BigInteger, comment="of the grant under which the state was written"),
    counter("attempt", Integer, comment="number of attempts"),
    Column("next_attempt_at", Time, comment="no attempt before then; null: at once"),
    counter("bytes_done", BigInteger, comment="bytes read from the source in the newest attempt"),
    Column("bytes_total", BigInteger, comment="bytes to be read; null: not known"),
    Column("bytes_per_second", Double, comment="speed of the newest attempt; null unless it runs"),
    required("created_at", Time, server_default=now, comment="when it was first requested"),
    Column("started_at", Time, comment="of the newest attempt"),
    Column("staged_at", Time, comment="since when its files are served"),
    Column("last_accessed_at", Time, comment="last read of one of its files, to about a minute"),
    Column("pinned_until", Time, comment="not evicted before; null: not pinned"),
    Column("evicted_at", Time, comment="since when its files are no longer served"),
    Column("evict_reason", Text, comment=", ".join(EVICT_REASONS)),
    Column("error_code", Text, comment="of the newest failure; as in the API"),
    Column("error_message", Text, comment="one sentence for this failure"),
    Column("error_retryable", Boolean, comment="whether another attempt can succeed"),
    required(
        "version",
        BigInteger,
        server_default="1",
        comment="rises with every change but that of last_accessed_at",
    ),
    required(
        "warnings",
        ARRAY(Text),
        server_default=text("'{}'"),
        comment="what of its objects was left out, or taken otherwise than it says; sentences",
    ),
    CheckConstraint(one_of("phase", PHASES), name="phase"),
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
    CheckConstraint(
        "attempt >= 0 AND bytes_total >= 0 AND (lock_id IS NULL OR fence IS NOT NULL)",
        name="attempt",
    ),
    CheckConstraint(
        # A missing artifact, which was never staged, can be evicted so that it is looked for again.
        "(state <> 'staged' OR staged_at IS NOT NULL)"
        " AND (staged_at IS NULL OR state IN ('staged', 'evicted'))"
        " AND (evict_reason IS NULL OR state = 'evicted')"
        " AND (state <> 'staged' OR error_code IS NULL)"
        " AND (error_code IS NOT NULL OR num_nonnulls(error_message, error_retryable) = 0)",
        name="outcome",
    ),
    # One live row for each entry and path; `plan_artifact` names this index in ON CONFLICT.
    key_where("state <> 'evicted'", "staged_artifacts_live_key", "archive_url", "name", "path"),
    Index(None, "staging_id"),
    # For the view staging_queue: which artifacts are due.
    index_where(one_of("state", TO_DO_STATES), "staged_artifacts_due_idx", "next_attempt_at"),
    # Readers that follow a file look up by its path which staging brings it.
    index_where(one_of("state", TO_DO_STATES), "staged_artifacts_coming_idx", "path"),
    # Includes the rows of the history, which staged_artifacts_live_key leaves out.
    Index(None, "archive_url", "name"),
    Index("staged_artifacts_name_idx", "name", "id"),
    Index(None, "sha256"),
    # For an auditor's question: which objects were downloaded twice (``db/audit/02``).
    index_where(
        "staged_at IS NOT NULL AND held_by IS NULL",
        "staged_artifacts_fetched_idx",
        "source_url",
        "source_version",
        "name",
    ),
    # For an auditor's question: which served files are unverified (``03``); an index-only scan.
    index_where(
        "state = 'staged' AND verified_by IS NULL",
        "staged_artifacts_unverified_idx",
        "name",
        postgresql_include=["source_url", "size_bytes", "staged_at"],
    ),
    # For an auditor's question: how long stagings took (``06``).
    index_where("staged_at IS NOT NULL", "staged_artifacts_staged_idx", "staged_at"),
    # For an auditor's question: which artifacts were evicted, and why (``07``).
    index_where("evicted_at IS NOT NULL", "staged_artifacts_evicted_idx", "evicted_at"),
    # Eviction searches for the artifacts idle for longest; each of its queries repeats the
    # expression.
    index_where(
        "state = 'staged'",
        "staged_artifacts_idle_idx",
        text("coalesce(last_accessed_at, staged_at)"),
    ),
    index_where("error_code IS NOT NULL", "staged_artifacts_error_code_idx", "error_code", "id"),
    # For lists by state: artifacts in all states except ``staged`` are few.
    index_where("state <> 'staged'", "staged_artifacts_not_staged_idx", "state", "id"),
    # For lists of pinned artifacts, which are few.
    index_where("pinned_until IS NOT NULL", "staged_artifacts_pinned_idx", "pinned_until"),
    comment="The artifacts of archives. An artifact is staged if its row says so, and only then.",
)
