"""Tables of the store, and those that coordinate the work of pods on sources and on the store."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Index,
    Integer,
    Text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from staging_api.db.schema import (
    Time,
    Ulid,
    counter,
    index_where,
    is_sha256,
    key,
    now,
    numbered,
    required,
    table,
    words,
)
from staging_api.vocabulary.staging import DAMAGE_REASONS

upload_polls = table(
    "upload_polls",
    key(
        "archive_url", ForeignKey("archives.archive_url"), comment="canonical, free of credentials"
    ),
    required("next_poll_at", Time, comment="no process polls before then"),
    required("polls", BigInteger, server_default="1", comment="number of polls"),
    Column("polled_at", Time, comment="when the newest poll ended"),
    Column("names", ARRAY(Text), comment="objects that the newest poll found"),
    CheckConstraint("polls >= 1 AND (polled_at IS NULL) = (names IS NULL)", name="polls"),
    comment="Archives whose upload is awaited: polled once for all waiting requests, on all pods.",
)

growing_files = table(
    "growing_files",
    key(
        "artifact_id",
        ForeignKey("staged_artifacts.id"),
        comment="the artifact that becomes this one file",
    ),
    required("attempt", Integer, comment="attempt at it that writes it"),
    required("file", Text, comment="path below the folder of the store"),
    required("bytes_done", BigInteger, comment="readable bytes, from its start"),
    Column("size_bytes", BigInteger, comment="length that it will have; null: not known"),
    CheckConstraint("bytes_done >= 0 AND size_bytes >= 0", name="sizes"),
    comment="Files that are being written, for readers that follow them; deleted once staged.",
)

manifests = table(
    "manifests",
    key(
        "archive_url", ForeignKey("archives.archive_url"), comment="canonical, free of credentials"
    ),
    required("version", Text, comment="generation or ETag of the manifest"),
    required("sha256", Text, comment="of the manifest"),
    required("names", ARRAY(Text), comment="the objects that it lists"),
    required("read_at", Time, server_default=now, comment="when this version was read"),
    CheckConstraint(is_sha256("sha256"), name="sha256"),
    comment="Manifests of archives, as last read: each version is read once.",
)

held_objects = table(
    "held_objects",
    key("url", Text, comment="of the object, free of credentials"),
    key("version", Text, comment="its generation, version id or strong ETag"),
    required("size_bytes", BigInteger, comment="its length"),
    required(
        "sha256",
        ForeignKey("blobs.sha256", ondelete="CASCADE"),
        comment="of its whole content, which is this blob",
    ),
    Column(
        "verified_by", Text, comment="declared digest that was verified; null: none was declared"
    ),
    required("read_at", Time, server_default=now, comment="when it was downloaded"),
    CheckConstraint("size_bytes >= 0", name="size"),
    Index(None, "sha256"),
    comment="Cached objects: versions of source objects whose whole content is a blob.",
)

blobs = table(
    "blobs",
    key("sha256", Text, comment="of the content, in hex; names its file"),
    required("size_bytes", BigInteger, comment="length of the content"),
    required("stored_at", Time, server_default=now, comment="when a row first named it"),
    Column(
        "doomed_at",
        Time,
        comment="marked for deletion: removed after this time, unless a file names it by then",
    ),
    Column(
        "removing_until", Time, comment="a collector is removing it: until then no file may name it"
    ),
    counter(
        "removal_failures",
        Integer,
        comment="how often its removal failed; each failure postpones the next try",
    ),
    Column("checked_at", Time, comment="when its whole content was last read and had the digest"),
    # The collector claims these, the longest marked first.
    index_where("doomed_at IS NOT NULL", "blobs_doomed_idx", "doomed_at"),
    CheckConstraint(is_sha256("sha256"), name="sha256"),
    CheckConstraint(
        "size_bytes >= 0 AND removal_failures >= 0"
        " AND (doomed_at IS NOT NULL OR removing_until IS NULL AND removal_failures = 0)",
        name="removal",
    ),
    comment="Contents that are durable in the store.",
)

store_identity = table(
    "store_identity",
    key("id", Ulid, comment="the ULID in the marker of the store"),
    required(
        "sole",
        Boolean,
        unique=True,
        server_default=true(),
        comment="true: a database belongs to one store",
    ),
    required("adopted_at", Time, server_default=now, comment="since when it is this one"),
    required(
        "packs",
        Boolean,
        server_default=true(),
        comment="whether packs are written where STAGING_PACKS is auto;"
        " false: a version that cannot read them may still run",
    ),
    CheckConstraint("sole", name="sole"),
    comment="The store that this database belongs to; another one is refused.",
)

# Lines instead of one counter: every transaction that stores a blob would wait for its row.
store_ledger = table(
    "store_ledger",
    numbered(comment="order of writing"),
    required("bytes", BigInteger, comment="of blobs added; negative: removed"),
    comment="How full the store is: the sum of all rows. Written by triggers of blobs, compacted.",
)

store_reservations = table(
    "store_reservations",
    key("artifact_id", ForeignKey("staged_artifacts.id"), comment="the artifact"),
    required("bytes", BigInteger, comment="that this artifact may write"),
    required("kind", Text, comment="of the lock under which it was made"),
    required("scope", Text, comment="what that lock protects"),
    required("lock_id", Ulid, comment="it counts as long as this grant is held"),
    required("fence", BigInteger, comment="fence of the grant in lock_id: rises with each one"),
    required("made_at", Time, server_default=now, comment="when it was last raised"),
    CheckConstraint("bytes >= 0", name="bytes"),
    comment="Space reserved for artifacts that are being staged; ends with the lease.",
)

upload_reservations = table(
    "upload_reservations",
    key("id", Ulid, comment="made for one request"),
    required("bytes", BigInteger, comment="that the upload may write"),
    required(
        "expires_at", Time, comment="the reservation counts until then; renewed while bytes arrive"
    ),
    CheckConstraint("bytes >= 0", name="bytes"),
    comment="Space reserved for packages that are being uploaded.",
)

lost_contents = table(
    "lost_contents",
    key("sha256", ForeignKey("blobs.sha256", ondelete="CASCADE"), comment="of the content, in hex"),
    *words("reason", DAMAGE_REASONS),
    required("found_at", Time, server_default=now, comment="when that was noticed"),
    comment="Contents of pools that the store lost or that are corrupt, until stored again.",
)

store_checks = table(
    "store_checks",
    key("shard", Text, comment="first two digits of the digests"),
    required("began_at", Time, comment="when the newest check began"),
    Column("checked_at", Time, comment="when the newest check ended"),
    Column("files", Integer, comment="blobs found on the disk"),
    Column("bytes", BigInteger, comment="size of the blobs found on the disk"),
    Column("lost", Integer, comment="blobs with a row that are missing or truncated on the disk"),
    Column("strangers", Integer, comment="orphans: files without a row, older than the grace time"),
    Column("scrubbed_at", Time, comment="when its blobs were last selected to be read again"),
    CheckConstraint("shard ~ '^[0-9a-f]{2}$'", name="shard"),
    CheckConstraint(
        "num_nulls(checked_at, files, bytes, lost, strangers) IN (0, 5)"
        " AND least(files, bytes, lost, strangers) >= 0",
        name="found",
    ),
    comment="Comparisons of the store's files with the tables, one row per shard.",
)

artifact_accesses = table(
    "artifact_accesses",
    key("artifact_id", ForeignKey("staged_artifacts.id"), comment="the artifact read"),
    key("day", Date, comment="UTC"),
    key("caller", Text, comment="who read it"),
    required("hits", BigInteger, comment="files sent, in whole or in part"),
    required("bytes", BigInteger, comment="bytes of these responses"),
    CheckConstraint("hits >= 0 AND bytes >= 0", name="numbers"),
    Index(None, "day"),
    comment="Reads below /static, by artifact, day and caller; written at most once a minute.",
)
