"""Tables of publishing: uploads, packages in suites, and publisher runs.

A range of generation numbers says which packages the index files list: `package_publications`, from
``listed_in``, up to but without ``delisted_in``.
"""

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
    Bytewise,
    Time,
    Ulid,
    counter,
    index_where,
    key,
    key_where,
    now,
    numbered,
    one_of,
    required,
    table,
    words,
)
from staging_api.vocabulary.publishing import (
    ENDED_PUBLICATION_STATES,
    HOOK_STAGES,
    OPEN_UPLOAD_STATES,
    OPERATIONS,
    PUBLICATION_STATES,
    PURPOSES,
    RUN_STATES,
    UPLOAD_STATES,
)

_none = text("'{}'")

uploads = table(
    "uploads",
    key("id", Ulid, comment="ULID; sorts by time"),
    required("suite_id", ForeignKey("suites.id"), comment="where the package is to go"),
    required("component", Text, comment="where the package is to go"),
    required("name", Text, comment="of the .deb, .udeb or .dsc, as uploaded"),
    *words("state", UPLOAD_STATES),
    Column(
        "source_release_id",
        ForeignKey("source_releases.id"),
        comment="its content, if it is a source package",
    ),
    Column(
        "binary_release_id",
        ForeignKey("binary_releases.id"),
        comment="its content, if it is a binary package",
    ),
    required("caller", Text, comment="the caller that uploaded it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    required("created_at", Time, server_default=now, comment="when it was uploaded"),
    Column("decided_at", Time, comment="when it was accepted or rejected by hand"),
    Column("decided_by", Text, comment="who accepted or rejected it by hand"),
    Column(
        "done_at", Time, comment="when its package was published for the first time in the suite"
    ),
    counter("attempts", Integer, comment="failed attempts to publish"),
    Column("error_code", Text, comment="code of the failure in error_message"),
    Column("error_message", Text, comment="why it was rejected, or is not yet done"),
    Column("note", Text, comment="consequences for other packages of its suite, or for itself"),
    CheckConstraint("state <> 'rejected' OR error_message IS NOT NULL", name="rejected_says_why"),
    CheckConstraint("(state = 'done') = (done_at IS NOT NULL)", name="done"),
    CheckConstraint(
        "num_nonnulls(source_release_id, binary_release_id) = 1"
        " OR (state = 'rejected' AND num_nonnulls(source_release_id, binary_release_id) = 0)",
        name="one_release",
    ),
    CheckConstraint(
        "(decided_at IS NULL) = (decided_by IS NULL)"
        f" AND (decided_at IS NULL OR NOT {one_of('state', OPEN_UPLOAD_STATES)})",
        name="decided",
    ),
    CheckConstraint(
        "attempts >= 0 AND (error_code IS NULL OR error_message IS NOT NULL)", name="failures"
    ),
    Index(None, "suite_id", "id"),
    Index(None, "source_release_id"),
    Index(None, "binary_release_id"),
    index_where("state = 'accepted'", "uploads_accepted_idx", "id"),
    index_where(one_of("state", OPEN_UPLOAD_STATES), "uploads_open_idx", "suite_id"),
    comment="One row per uploaded package, with its outcome.",
)

package_publications = table(
    "package_publications",
    numbered(),
    required("suite_id", ForeignKey("suites.id"), comment="its suite"),
    required("component", Text, comment="its component"),
    Column(
        "source_release_id",
        ForeignKey("source_releases.id"),
        comment="the source package, if it is one",
    ),
    Column(
        "binary_release_id",
        ForeignKey("binary_releases.id"),
        comment="the binary package, if it is one",
    ),
    required("package", Bytewise, comment="name of the package"),
    Column("upload_id", ForeignKey("uploads.id"), comment="the upload that requested it"),
    *words("state", PUBLICATION_STATES),
    required("created_at", Time, server_default=now, comment="when it was accepted"),
    Column("published_at", Time, comment="when it was first to be in the index files"),
    Column("ended_at", Time, comment="when it was superseded or deleted"),
    Column(
        "superseded_by",
        ForeignKey("package_publications.id"),
        comment="the publication that superseded it",
    ),
    Column("deleted_by", Text, comment="who deleted it"),
    Column("reason", Text, comment="why it was deleted"),
    Column("scheduled_deletion_at", Time, comment="its files may leave the pool from then on"),
    Column("removed_at", Time, comment="when its files had left the pool"),
    Column("error_message", Text, comment="why it is still pending"),
    Column("unlisted_since", Time, comment="set while index files disagree with this row"),
    Column("listed_in", BigInteger, comment="number of the first generation that lists it"),
    Column("delisted_in", BigInteger, comment="number of the first generation without it"),
    CheckConstraint("num_nonnulls(source_release_id, binary_release_id) = 1", name="one_release"),
    CheckConstraint(
        f"({one_of('state', ENDED_PUBLICATION_STATES)}) = (ended_at IS NOT NULL)", name="ended"
    ),
    CheckConstraint("(state = 'superseded') = (superseded_by IS NOT NULL)", name="superseded"),
    CheckConstraint(
        "state <> 'deleted' OR (deleted_by IS NOT NULL AND reason IS NOT NULL)",
        name="deleted_says_why",
    ),
    CheckConstraint("state <> 'published' OR published_at IS NOT NULL", name="published"),
    CheckConstraint("state <> 'pending' OR unlisted_since IS NULL", name="pending_is_not_listed"),
    CheckConstraint(
        "scheduled_deletion_at IS NULL OR ended_at IS NOT NULL", name="active_is_not_condemned"
    ),
    CheckConstraint(
        "removed_at IS NULL OR scheduled_deletion_at IS NOT NULL", name="removed_was_condemned"
    ),
    CheckConstraint("removed_at IS NULL OR unlisted_since IS NULL", name="removed_is_settled"),
    CheckConstraint(
        "superseded_by <> id"
        " AND (num_nulls(superseded_by, listed_in) = 2 OR published_at IS NOT NULL)",
        name="was_published",
    ),
    CheckConstraint(
        "state = 'deleted' OR num_nonnulls(deleted_by, reason) = 0", name="only_deleted_says_why"
    ),
    CheckConstraint(
        # Equal numbers: the package was listed, and delisted again before another generation was
        # made.
        "listed_in >= 1 AND (delisted_in IS NULL OR ended_at IS NOT NULL"
        " AND delisted_in >= coalesce(listed_in, 1))",
        name="listed",
    ),
    # A package can be in a component of a suite only once, however often it is accepted.
    key_where(
        "ended_at IS NULL AND binary_release_id IS NOT NULL",
        "package_publications_binary_key",
        "suite_id",
        "component",
        "binary_release_id",
    ),
    key_where(
        "ended_at IS NULL AND source_release_id IS NOT NULL",
        "package_publications_source_key",
        "suite_id",
        "component",
        "source_release_id",
    ),
    index_where("state = 'published'", "package_publications_active_idx", "suite_id", "package"),
    index_where("state = 'pending'", "package_publications_pending_idx", "suite_id"),
    # Each run reads the packages for which its index files must change.
    index_where("unlisted_since IS NOT NULL", "package_publications_unlisted_idx", "suite_id"),
    index_where(
        "ended_at IS NOT NULL AND scheduled_deletion_at IS NULL",
        "package_publications_ended_idx",
        "suite_id",
    ),
    # Clean-up reads the files that may leave the pool.
    index_where(
        "scheduled_deletion_at IS NOT NULL AND removed_at IS NULL",
        "package_publications_condemned_idx",
        "scheduled_deletion_at",
    ),
    Index(None, "binary_release_id"),
    Index(None, "source_release_id"),
    comment="One row per package in a suite, from its acceptance until its files are gone.",
)

publisher_runs = table(
    "publisher_runs",
    key("id", Ulid, comment="ULID; sorts by time"),
    *words("operation", OPERATIONS),
    required("archive_id", ForeignKey("apt_archives.id"), comment="its archive"),
    required("options", JSONB, comment="as requested"),
    *words("state", RUN_STATES),
    Column("phase", Text, comment="the newest phase; null: none began"),
    counter("items_done", BigInteger, comment="how far its phase is"),
    Column("items_total", BigInteger, comment="what its phase has to do; null: not known"),
    required("caller", Text, comment="the caller that requested it"),
    required("holder", Text, comment="the process that ran it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    required("lock_id", Ulid, comment="the grant of the publisher lock"),
    required("fence", BigInteger, comment="fence of the grant in lock_id; guards its writes"),
    required("started_at", Time, server_default=now, comment="when it began"),
    Column("finished_at", Time, comment="when it ended, in any state"),
    required(
        "counts",
        JSONB,
        server_default=text("'{}'"),
        comment="numbers of packages and files, by outcome",
    ),
    required("notes", ARRAY(Text), server_default=_none, comment="failures it tolerated"),
    Column("error_code", Text, comment="code of the failure in error_message"),
    Column("error_message", Text, comment="why it failed"),
    Column("purpose", Text, comment="go-back, renewal; null: the operation itself"),
    counter(
        "steps",
        Integer,
        comment="its commits that did not wait for the disk; by it the run sees if one was lost",
    ),
    CheckConstraint(one_of("purpose", PURPOSES), name="purpose"),
    CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="finished"),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_says_why"),
    CheckConstraint(
        "state NOT IN ('running', 'succeeded') OR num_nonnulls(error_code, error_message) = 0",
        name="without_error",
    ),
    CheckConstraint("items_done >= 0 AND items_total >= 0", name="items"),
    CheckConstraint("steps >= 0", name="steps"),
    # One lock, so one run: a second row in the state running is impossible.
    key_where("state = 'running'", "publisher_runs_running_key", "state"),
    Index(None, "archive_id", "id"),
    Index(None, "lock_id"),
    comment="One row per run of the publisher.",
)

run_phases = table(
    "run_phases",
    key("run_id", ForeignKey("publisher_runs.id"), comment="its run"),
    key("position", Integer, comment="0, 1, 2 ... in the order they began"),
    required("phase", Text, comment="name of the phase"),
    required("started_at", Time, server_default=now, comment="when it began"),
    Column("finished_at", Time, comment="when it ended; null: it did not"),
    CheckConstraint("position >= 0", name="position"),
    comment="When each phase of a run began and ended.",
)

hook_runs = table(
    "hook_runs",
    numbered(),
    required("run_id", ForeignKey("publisher_runs.id"), comment="its run"),
    required("stage", Text, comment="before or after going live"),
    required("name", Text, comment="file name of the program"),
    Column("exit_code", Integer, comment="negative: the signal that ended it; null: none"),
    required("timed_out", Boolean, comment="whether it was ended for taking too long"),
    required("seconds", Double, comment="how long it ran"),
    required("output", Text, comment="the end of its output"),
    required("ended_at", Time, server_default=now, comment="when it ended"),
    CheckConstraint(one_of("stage", HOOK_STAGES), name="stage"),
    CheckConstraint("seconds >= 0 AND NOT (timed_out AND exit_code IS NOT NULL)", name="ended"),
    Index(None, "run_id"),
    comment="One row per operator's program that a run started.",
)
