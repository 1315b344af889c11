"""The publisher's tables: what is in an APT archive, what clients see of it, and who made it so.

Two things are told by a range of generation numbers, so that a generation that changes one package
writes a few rows and not a copy of everything: which index files and Releases belong to a
generation (`index_files`, `release_files`: from ``first_number``, up to but without
``gone_number``), and which packages its index files list (`package_publications`: from
``listed_in``, up to but without ``delisted_in``).
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
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from staging_api.db.columns import Time, Ulid, metadata, now, one_of

UPLOAD_STATES = ("new", "unapproved", "accepted", "done", "rejected")
PUBLICATION_STATES = ("pending", "published", "superseded", "deleted")
RUN_STATES = ("running", "succeeded", "published_hook_failed", "failed", "abandoned")
GENERATION_STATES = ("building", "live", "retired", "reaped", "abandoned")
OPERATIONS = ("process-accepted", "publish-distro", "publish-ftpmaster")
FORMS = ("plain", "gz", "xz", "zst")

_SHA256 = "sha256 ~ '^[0-9a-f]{64}$'"
_YES = text("true")
_NO = text("false")
_none = text("'{}'")
# Debian's version order, and the order of index files, is that of bytes.
Bytewise = Text(collation="C")

apt_archives = Table(
    "apt_archives",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("name", Text, nullable=False, unique=True, comment="first segment below /archive"),
    Column("origin", Text, nullable=False, server_default=""),
    Column("label", Text, nullable=False, server_default=""),
    Column("forms", ARRAY(Text), nullable=False, comment="of index files: plain, gz, xz, zst"),
    Column("publish_by_hash", Boolean, nullable=False, server_default=_YES),
    Column("advertise_by_hash", Boolean, nullable=False, server_default=_YES),
    Column("valid_for_seconds", Integer, comment="how long clients may believe a Release"),
    Column(
        "retention_seconds", Integer, nullable=False, comment="old generations are kept so long"
    ),
    Column(
        "quarantine_seconds", Integer, nullable=False, comment="superseded files are kept so long"
    ),
    Column("created_at", Time, nullable=False, server_default=now),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9.+-]{0,63}$'", name="name"),
    CheckConstraint(
        "cardinality(forms) > 0 AND forms <@ ARRAY['plain', 'gz', 'xz', 'zst']", name="forms"
    ),
    CheckConstraint("valid_for_seconds > 0", name="valid_for"),
    CheckConstraint("retention_seconds >= 0 AND quarantine_seconds >= 0", name="times"),
    CheckConstraint("publish_by_hash OR NOT advertise_by_hash", name="advertised_is_published"),
    comment="One row an APT archive that we publish.",
)

suites = Table(
    "suites",
    metadata,
    Column("id", Integer, Identity(always=True), primary_key=True),
    Column("archive_id", ForeignKey("apt_archives.id"), nullable=False),
    Column("name", Text, nullable=False, comment="folder below dists"),
    Column("codename", Text, nullable=False),
    Column("aliases", ARRAY(Text), nullable=False, server_default=_none, comment="served alike"),
    Column("description", Text, nullable=False, server_default=""),
    Column("immutable", Boolean, nullable=False, server_default=_NO, comment="takes no package"),
    Column("auto_accept", Boolean, nullable=False, server_default=_YES, comment="else by hand"),
    Column("not_automatic", Boolean, nullable=False, server_default=_NO),
    Column("but_automatic_upgrades", Boolean, nullable=False, server_default=_NO),
    Column("dirty_since", Time, comment="null: the newest generation shows all that is published"),
    Column("created_at", Time, nullable=False, server_default=now),
    CheckConstraint("name ~ '^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,127}$'", name="name"),
    UniqueConstraint("archive_id", "name"),
    comment="One row a suite, such as stable or stable-security.",
)

components = Table(
    "components",
    metadata,
    Column("suite_id", ForeignKey("suites.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    Column("position", Integer, nullable=False, comment="order in Release"),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9-]{0,63}$'", name="name"),
    comment="The components of a suite, such as main.",
)

architectures = Table(
    "architectures",
    metadata,
    Column("suite_id", ForeignKey("suites.id"), primary_key=True),
    Column("name", Text, primary_key=True),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9-]{0,63}$' AND name <> 'all'", name="name"),
    comment="The architectures of a suite; packages for all are in each of them.",
)

package_files = Table(
    "package_files",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("archive_id", ForeignKey("apt_archives.id"), nullable=False),
    Column("path", Bytewise, nullable=False, comment="below the archive's root: pool/..."),
    Column("sha256", ForeignKey("blobs.sha256"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("created_at", Time, nullable=False, server_default=now),
    Column("removed_at", Time, comment="when it left the pool"),
    CheckConstraint("path LIKE 'pool/%'", name="path"),
    # The key that refuses another content under the same name, when it is uploaded.
    Index(
        "package_files_path_key",
        "archive_id",
        "path",
        unique=True,
        postgresql_where=text("removed_at IS NULL"),
    ),
    Index(None, "sha256"),
    comment="The files of the pool.",
)

source_releases = Table(
    "source_releases",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("archive_id", ForeignKey("apt_archives.id"), nullable=False),
    Column("package", Bytewise, nullable=False),
    Column("version", Text, nullable=False),
    Column("version_key", Bytewise, nullable=False, comment="its bytes sort as the versions do"),
    Column("control", Text, nullable=False, comment="the stanza of its .dsc, word for word"),
    Column("created_at", Time, nullable=False, server_default=now),
    Column("removed_at", Time, comment="when its files left the pool"),
    Index(
        "source_releases_version_key",
        "archive_id",
        "package",
        "version_key",
        unique=True,
        postgresql_where=text("removed_at IS NULL"),
    ),
    comment="One row a version of a source package in an archive.",
)

source_release_files = Table(
    "source_release_files",
    metadata,
    Column("source_release_id", ForeignKey("source_releases.id"), primary_key=True),
    Column("position", Integer, primary_key=True, comment="0: the .dsc; then as it lists them"),
    Column("file_id", ForeignKey("package_files.id"), nullable=False),
    Index(None, "file_id"),
    comment="The files of a source package; versions share them.",
)

binary_releases = Table(
    "binary_releases",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("archive_id", ForeignKey("apt_archives.id"), nullable=False),
    Column("package", Bytewise, nullable=False),
    Column("version", Text, nullable=False),
    Column("version_key", Bytewise, nullable=False, comment="its bytes sort as the versions do"),
    Column("architecture", Bytewise, nullable=False, comment="or all"),
    Column("installer", Boolean, nullable=False, comment="whether it is a .udeb"),
    Column("source", Bytewise, nullable=False, comment="the source that it was built from"),
    Column("source_version_key", Bytewise, nullable=False),
    Column("control", Text, nullable=False, comment="its control file, word for word"),
    Column("file_id", ForeignKey("package_files.id"), nullable=False),
    Column("created_at", Time, nullable=False, server_default=now),
    Column("removed_at", Time, comment="when its file left the pool"),
    Index(
        "binary_releases_version_key",
        "archive_id",
        "package",
        "version_key",
        "architecture",
        "installer",
        unique=True,
        postgresql_where=text("removed_at IS NULL"),
    ),
    Index(None, "file_id"),
    Index(None, "archive_id", "source", "source_version_key"),
    # Few archives have any, and each run asks.
    Index("binary_releases_installer_idx", "id", postgresql_where=text("installer")),
    comment="One row a version of a binary package in an archive.",
)

uploads = Table(
    "uploads",
    metadata,
    Column("id", Ulid, primary_key=True),
    Column("suite_id", ForeignKey("suites.id"), nullable=False),
    Column("component", Text, nullable=False),
    Column("name", Text, nullable=False, comment="of the .deb, .udeb or .dsc, as it was sent"),
    Column("state", Text, nullable=False, comment=", ".join(UPLOAD_STATES)),
    Column("source_release_id", ForeignKey("source_releases.id")),
    Column("binary_release_id", ForeignKey("binary_releases.id")),
    Column("caller", Text, nullable=False),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column("created_at", Time, nullable=False, server_default=now),
    Column("decided_at", Time),
    Column("decided_by", Text, comment="who accepted or rejected it by hand"),
    Column("done_at", Time),
    Column("attempts", Integer, nullable=False, server_default="0", comment="that failed"),
    Column("error_code", Text),
    Column("error_message", Text, comment="why it was rejected, or is not yet done"),
    CheckConstraint(one_of("state", UPLOAD_STATES), name="state"),
    CheckConstraint("state <> 'rejected' OR error_message IS NOT NULL", name="rejected_says_why"),
    CheckConstraint("(state = 'done') = (done_at IS NOT NULL)", name="done"),
    CheckConstraint(
        "num_nonnulls(source_release_id, binary_release_id) = 1"
        " OR (state = 'rejected' AND num_nonnulls(source_release_id, binary_release_id) = 0)",
        name="one_release",
    ),
    Index(None, "suite_id", "id"),
    Index(None, "source_release_id"),
    Index(None, "binary_release_id"),
    Index("uploads_accepted_idx", "id", postgresql_where=text("state = 'accepted'")),
    comment="One row a package that somebody sent, with what became of it.",
)

package_publications = Table(
    "package_publications",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("suite_id", ForeignKey("suites.id"), nullable=False),
    Column("component", Text, nullable=False),
    Column("source_release_id", ForeignKey("source_releases.id")),
    Column("binary_release_id", ForeignKey("binary_releases.id")),
    Column("package", Bytewise, nullable=False, comment="of the release"),
    Column("upload_id", ForeignKey("uploads.id"), comment="that asked for it"),
    Column("state", Text, nullable=False, comment=", ".join(PUBLICATION_STATES)),
    Column("created_at", Time, nullable=False, server_default=now),
    Column("published_at", Time),
    Column("ended_at", Time, comment="when it was superseded or deleted"),
    Column("superseded_by", BigInteger, comment="the publication that gave it way"),
    Column("deleted_by", Text),
    Column("reason", Text, comment="why it was deleted"),
    Column("scheduled_deletion_at", Time, comment="its files may leave the pool from then on"),
    Column("removed_at", Time, comment="when its files had left the pool"),
    Column("error_message", Text, comment="why it is still pending"),
    Column("unlisted_since", Time, comment="set while the index files disagree with this row"),
    Column("listed_in", BigInteger, comment="number of the first generation that lists it"),
    Column("delisted_in", BigInteger, comment="number of the first generation without it"),
    CheckConstraint(one_of("state", PUBLICATION_STATES), name="state"),
    CheckConstraint("num_nonnulls(source_release_id, binary_release_id) = 1", name="one_release"),
    CheckConstraint("(state IN ('superseded', 'deleted')) = (ended_at IS NOT NULL)", name="ended"),
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
    Index(
        "package_publications_binary_key",
        "suite_id",
        "binary_release_id",
        unique=True,
        postgresql_where=text("ended_at IS NULL AND binary_release_id IS NOT NULL"),
    ),
    Index(
        "package_publications_source_key",
        "suite_id",
        "source_release_id",
        unique=True,
        postgresql_where=text("ended_at IS NULL AND source_release_id IS NOT NULL"),
    ),
    Index(
        "package_publications_active_idx",
        "suite_id",
        "package",
        postgresql_where=text("state = 'published'"),
    ),
    Index(
        "package_publications_pending_idx", "suite_id", postgresql_where=text("state = 'pending'")
    ),
    Index(
        "package_publications_unlisted_idx",
        "suite_id",
        postgresql_where=text("unlisted_since IS NOT NULL"),
    ),
    Index(
        "package_publications_ended_idx",
        "suite_id",
        postgresql_where=text("ended_at IS NOT NULL AND scheduled_deletion_at IS NULL"),
    ),
    Index(
        "package_publications_condemned_idx",
        "scheduled_deletion_at",
        postgresql_where=text("scheduled_deletion_at IS NOT NULL AND removed_at IS NULL"),
    ),
    Index(None, "binary_release_id"),
    Index(None, "source_release_id"),
    comment="One row a package in a suite, from when it was accepted until its files are gone.",
)

publisher_runs = Table(
    "publisher_runs",
    metadata,
    Column("id", Ulid, primary_key=True),
    Column("operation", Text, nullable=False, comment=", ".join(OPERATIONS)),
    Column("archive_id", ForeignKey("apt_archives.id"), nullable=False),
    Column("options", JSONB, nullable=False),
    Column("state", Text, nullable=False, comment=", ".join(RUN_STATES)),
    Column("phase", Text, comment="the newest; null before the first"),
    Column("items_done", BigInteger, nullable=False, server_default="0", comment="of the phase"),
    Column("items_total", BigInteger, comment="of the phase"),
    Column("caller", Text, nullable=False),
    Column("holder", Text, nullable=False, comment="the process that ran it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column("lock_id", Ulid, nullable=False, comment="the grant of the publisher lock"),
    Column("fence", BigInteger, nullable=False),
    Column("started_at", Time, nullable=False, server_default=now),
    Column("finished_at", Time),
    Column("counts", JSONB, nullable=False, server_default=text("'{}'")),
    Column(
        "notes", ARRAY(Text), nullable=False, server_default=_none, comment="what was tolerated"
    ),
    Column("error_code", Text),
    Column("error_message", Text),
    CheckConstraint(one_of("operation", OPERATIONS), name="operation"),
    CheckConstraint(one_of("state", RUN_STATES), name="state"),
    CheckConstraint("(state = 'running') = (finished_at IS NULL)", name="finished"),
    CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_says_why"),
    # One lock, so one run: a second row that says running is impossible.
    Index(
        "publisher_runs_running_key",
        "state",
        unique=True,
        postgresql_where=text("state = 'running'"),
    ),
    Index(None, "archive_id", "id"),
    Index(None, "lock_id"),
    comment="One row an operation of the publisher.",
)

run_phases = Table(
    "run_phases",
    metadata,
    Column("run_id", ForeignKey("publisher_runs.id"), primary_key=True),
    Column("position", Integer, primary_key=True),
    Column("phase", Text, nullable=False),
    Column("started_at", Time, nullable=False, server_default=now),
    Column("finished_at", Time),
    comment="When each phase of a run began and ended.",
)

hook_runs = Table(
    "hook_runs",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("run_id", ForeignKey("publisher_runs.id"), nullable=False),
    Column("stage", Text, nullable=False, comment="before or after going live"),
    Column("name", Text, nullable=False),
    Column("exit_code", Integer, comment="negative: the signal that ended it; null: none"),
    Column("timed_out", Boolean, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("output", Text, nullable=False, comment="the end of it"),
    Column("ended_at", Time, nullable=False, server_default=now),
    CheckConstraint("stage IN ('before', 'after')", name="stage"),
    Index(None, "run_id"),
    comment="One row an operator's program that a run started.",
)

dists_generations = Table(
    "dists_generations",
    metadata,
    Column("id", Ulid, primary_key=True),
    Column("archive_id", ForeignKey("apt_archives.id"), nullable=False),
    Column("number", BigInteger, nullable=False, comment="counts up, per archive"),
    Column("content_number", BigInteger, nullable=False, comment="whose packages it lists"),
    Column("state", Text, nullable=False, comment=", ".join(GENERATION_STATES)),
    Column("run_id", ForeignKey("publisher_runs.id"), comment="null: made by rolling back"),
    Column("created_at", Time, nullable=False, server_default=now),
    Column("live_at", Time),
    Column("retired_at", Time),
    Column("reaped_at", Time, comment="when its files were dropped"),
    Column("pinned_at", Time, comment="kept until it is unpinned"),
    Column("pinned_by", Text),
    CheckConstraint(one_of("state", GENERATION_STATES), name="state"),
    CheckConstraint("content_number <= number", name="content"),
    CheckConstraint(
        "(state IN ('live', 'retired', 'reaped')) = (live_at IS NOT NULL)", name="was_live"
    ),
    CheckConstraint("(state IN ('retired', 'reaped')) = (retired_at IS NOT NULL)", name="retired"),
    CheckConstraint("(state = 'reaped') = (reaped_at IS NOT NULL)", name="reaped"),
    CheckConstraint("pinned_at IS NULL OR state IN ('live', 'retired')", name="pinned_is_kept"),
    UniqueConstraint("archive_id", "number"),
    # One live generation an archive, whatever anybody writes.
    Index(
        "dists_generations_live_key",
        "archive_id",
        unique=True,
        postgresql_where=text("state = 'live'"),
    ),
    Index(
        "dists_generations_retired_idx",
        "archive_id",
        "retired_at",
        postgresql_where=text("state = 'retired'"),
    ),
    comment="One row a state of an archive's dists that clients could see, or were to see.",
)

distributions = Table(
    "distributions",
    metadata,
    Column("archive_id", ForeignKey("apt_archives.id"), primary_key=True),
    Column("live_generation_id", ForeignKey("dists_generations.id"), nullable=False),
    Column(
        "head_generation_id",
        ForeignKey("dists_generations.id"),
        nullable=False,
        comment="the newest that was built from the packages; differs after rolling back",
    ),
    Column("changed_at", Time, nullable=False, server_default=now),
    Column("changed_by", Text, nullable=False),
    comment="What clients of each archive see: going live is one update of a row of this table.",
)

index_blocks = Table(
    "index_blocks",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the plain text"),
    Column("last_key", LargeBinary, nullable=False, comment="sorts its last entry"),
    Column("entries", Integer, nullable=False),
    Column("plain_bytes", Integer, nullable=False),
    Column("zst", LargeBinary, nullable=False, comment="one frame; the plain text is got from it"),
    Column("gz", LargeBinary, comment="one member"),
    Column("xz", LargeBinary, comment="one stream of one block"),
    CheckConstraint(_SHA256, name="sha256"),
    comment="Pieces of index files, each compressed once.",
)

index_layouts = Table(
    "index_layouts",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the hashes of its blocks"),
    Column("blocks", ARRAY(Text), nullable=False, comment="sha256 of each, in order"),
    CheckConstraint(_SHA256, name="sha256"),
    comment="What an index file is made of.",
)

index_files = Table(
    "index_files",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("suite_id", ForeignKey("suites.id"), nullable=False),
    Column("path", Bytewise, nullable=False, comment="below the suite, without the form's ending"),
    Column("form", Text, nullable=False, comment=", ".join(FORMS)),
    Column("served", Boolean, nullable=False, comment="or listed in Release only"),
    Column("layout", ForeignKey("index_layouts.sha256"), nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("first_number", BigInteger, nullable=False, comment="first generation that has it"),
    Column("gone_number", BigInteger, comment="first generation that does not"),
    Column("created_at", Time, nullable=False, server_default=now),
    CheckConstraint(one_of("form", FORMS), name="form"),
    CheckConstraint(_SHA256, name="sha256"),
    CheckConstraint("gone_number > first_number", name="numbers"),
    Index(
        "index_files_current_key",
        "suite_id",
        "path",
        "form",
        unique=True,
        postgresql_where=text("gone_number IS NULL"),
    ),
    Index(None, "suite_id", "sha256"),
    Index(None, "suite_id", "path", "form", "first_number"),
    Index(None, "layout"),
    Index("index_files_gone_idx", "suite_id", "gone_number"),
    comment="The index files of the generations that are kept.",
)

release_files = Table(
    "release_files",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True),
    Column("suite_id", ForeignKey("suites.id"), nullable=False),
    Column("name", Text, nullable=False, comment="Release, InRelease or Release.gpg"),
    Column("content", LargeBinary, nullable=False),
    Column("sha256", Text, nullable=False),
    Column("dated_at", Time, nullable=False, comment="what it says itself"),
    Column("valid_until", Time, comment="what it says itself"),
    Column("first_number", BigInteger, nullable=False, comment="first generation that has it"),
    Column("gone_number", BigInteger, comment="first generation that does not"),
    Column("created_at", Time, nullable=False, server_default=now),
    CheckConstraint("name IN ('Release', 'InRelease', 'Release.gpg')", name="name"),
    CheckConstraint(_SHA256, name="sha256"),
    CheckConstraint("gone_number > first_number", name="numbers"),
    Index(
        "release_files_current_key",
        "suite_id",
        "name",
        unique=True,
        postgresql_where=text("gone_number IS NULL"),
    ),
    Index("release_files_number_idx", "suite_id", "name", "first_number"),
    comment="The Releases of the generations that are kept, signed where there was a key.",
)
