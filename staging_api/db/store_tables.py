"""The tables of the store, and those by which pods share the work on sources and on it."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Date,
    ForeignKey,
    Identity,
    Index,
    Integer,
    Table,
    Text,
    text,
    true,
)
from sqlalchemy.dialects.postgresql import ARRAY

from staging_api.db.schema import Time, Ulid, is_sha256, metadata, now, one_of
from staging_api.vocabulary.staging import DAMAGE_REASONS

upload_polls = Table(
    "upload_polls",
    metadata,
    Column(
        "archive_url",
        ForeignKey("archives.archive_url"),
        primary_key=True,
        comment="canonical, free of credentials",
    ),
    Column("next_poll_at", Time, nullable=False, comment="no process polls before then"),
    Column("polls", BigInteger, nullable=False, server_default="1", comment="number of polls"),
    Column("polled_at", Time, comment="when the newest poll ended"),
    Column("names", ARRAY(Text), comment="objects that the newest poll found"),
    comment="Archives whose upload is awaited: polled once for all waiting requests, on all pods.",
)

growing_files = Table(
    "growing_files",
    metadata,
    Column(
        "artifact_id",
        ForeignKey("staged_artifacts.id"),
        primary_key=True,
        comment="the artifact that becomes this one file",
    ),
    Column("attempt", Integer, nullable=False, comment="attempt at it that writes it"),
    Column("file", Text, nullable=False, comment="path below the folder of the store"),
    Column("bytes_done", BigInteger, nullable=False, comment="readable bytes, from its start"),
    Column("size_bytes", BigInteger, comment="length that it will have; null: not known"),
    CheckConstraint("bytes_done >= 0 AND size_bytes >= 0", name="sizes"),
    comment="Files that are being written, for readers that follow them; deleted once staged.",
)

manifests = Table(
    "manifests",
    metadata,
    Column(
        "archive_url",
        ForeignKey("archives.archive_url"),
        primary_key=True,
        comment="canonical, free of credentials",
    ),
    Column("version", Text, nullable=False, comment="generation or ETag of the manifest"),
    Column("sha256", Text, nullable=False, comment="of the manifest"),
    Column("names", ARRAY(Text), nullable=False, comment="the objects that it lists"),
    Column(
        "read_at", Time, nullable=False, server_default=now, comment="when this version was read"
    ),
    CheckConstraint(is_sha256("sha256"), name="sha256"),
    comment="Manifests of archives, as last read: each version is read once.",
)

held_objects = Table(
    "held_objects",
    metadata,
    Column("url", Text, primary_key=True, comment="of the object, free of credentials"),
    Column("version", Text, primary_key=True, comment="its generation, version id or strong ETag"),
    Column("size_bytes", BigInteger, nullable=False, comment="its length"),
    Column(
        "sha256",
        ForeignKey("blobs.sha256", ondelete="CASCADE"),
        nullable=False,
        comment="of its whole content, which is this blob",
    ),
    Column(
        "verified_by", Text, comment="declared digest that was verified; null: none was declared"
    ),
    Column("read_at", Time, nullable=False, server_default=now, comment="when it was downloaded"),
    Index(None, "sha256"),
    comment="Cached objects: versions of source objects whose whole content is a blob.",
)

blobs = Table(
    "blobs",
    metadata,
    Column("sha256", Text, primary_key=True, comment="of the content, in hex; names its file"),
    Column("size_bytes", BigInteger, nullable=False, comment="length of the content"),
    Column(
        "stored_at", Time, nullable=False, server_default=now, comment="when a row first named it"
    ),
    Column(
        "doomed_at",
        Time,
        comment="marked for deletion: removed after this time, unless a file names it by then",
    ),
    Column(
        "removing_until",
        Time,
        comment="a collector is removing it: until then no file may name it",
    ),
    Column(
        "removal_failures",
        Integer,
        nullable=False,
        server_default="0",
        comment="how often its removal failed; each failure postpones the next try",
    ),
    Column("checked_at", Time, comment="when its whole content was last read and had the digest"),
    # The collector claims these, the longest marked first.
    Index("blobs_doomed_idx", "doomed_at", postgresql_where=text("doomed_at IS NOT NULL")),
    CheckConstraint(is_sha256("sha256"), name="sha256"),
    comment="Contents that are durable in the store.",
)

store_identity = Table(
    "store_identity",
    metadata,
    Column("id", Ulid, primary_key=True, comment="the ULID in the marker of the store"),
    Column(
        "sole",
        Boolean,
        nullable=False,
        unique=True,
        server_default=true(),
        comment="true: a database belongs to one store",
    ),
    Column(
        "adopted_at", Time, nullable=False, server_default=now, comment="since when it is this one"
    ),
    Column(
        "packs",
        Boolean,
        nullable=False,
        server_default=true(),
        comment="whether packs are written where STAGING_PACKS is auto;"
        " false: a version that cannot read them may still run",
    ),
    CheckConstraint("sole", name="sole"),
    comment="The store that this database belongs to; another one is refused.",
)

# Lines and not one counter, whose row every transaction that stores something would wait for.
store_ledger = Table(
    "store_ledger",
    metadata,
    Column("id", BigInteger, Identity(always=True), primary_key=True, comment="order of writing"),
    Column("bytes", BigInteger, nullable=False, comment="of blobs added; negative: removed"),
    comment="How full the store is: the sum of all rows. Written by triggers of blobs, compacted.",
)

store_reservations = Table(
    "store_reservations",
    metadata,
    Column(
        "artifact_id",
        ForeignKey("staged_artifacts.id"),
        primary_key=True,
        comment="the artifact",
    ),
    Column("bytes", BigInteger, nullable=False, comment="that this artifact may write"),
    Column("kind", Text, nullable=False, comment="of the lock under which it was made"),
    Column("scope", Text, nullable=False, comment="what that lock protects"),
    Column("lock_id", Ulid, nullable=False, comment="it counts as long as this grant is held"),
    Column("fence", BigInteger, nullable=False, comment="of that grant"),
    Column("made_at", Time, nullable=False, server_default=now, comment="when it was last raised"),
    CheckConstraint("bytes >= 0", name="bytes"),
    comment="Space reserved for artifacts that are being staged; ends with the lease.",
)

upload_reservations = Table(
    "upload_reservations",
    metadata,
    Column("id", Ulid, primary_key=True, comment="made for one request"),
    Column("bytes", BigInteger, nullable=False, comment="that the upload may write"),
    Column(
        "expires_at",
        Time,
        nullable=False,
        comment="the reservation counts until then; renewed while bytes arrive",
    ),
    CheckConstraint("bytes >= 0", name="bytes"),
    comment="Space reserved for packages that are being uploaded.",
)

lost_contents = Table(
    "lost_contents",
    metadata,
    Column(
        "sha256",
        ForeignKey("blobs.sha256", ondelete="CASCADE"),
        primary_key=True,
        comment="of the content, in hex",
    ),
    Column("reason", Text, nullable=False, comment=", ".join(DAMAGE_REASONS)),
    Column("found_at", Time, nullable=False, server_default=now, comment="when that was noticed"),
    CheckConstraint(one_of("reason", DAMAGE_REASONS), name="reason"),
    comment="Contents of pools that the store lost or that are corrupt, until stored again.",
)

store_checks = Table(
    "store_checks",
    metadata,
    Column("shard", Text, primary_key=True, comment="first two digits of the digests"),
    Column("began_at", Time, nullable=False, comment="when the newest check began"),
    Column("checked_at", Time, comment="when the newest check ended"),
    Column("files", Integer, comment="blobs found on the disk"),
    Column("bytes", BigInteger, comment="size of the blobs found on the disk"),
    Column("lost", Integer, comment="blobs with a row that are missing or truncated on the disk"),
    Column("strangers", Integer, comment="orphans: files without a row, older than the grace time"),
    Column("scrubbed_at", Time, comment="when its blobs were last selected to be read again"),
    CheckConstraint("shard ~ '^[0-9a-f]{2}$'", name="shard"),
    comment="Comparisons of the store's files with the tables, one row per shard.",
)

artifact_accesses = Table(
    "artifact_accesses",
    metadata,
    Column(
        "artifact_id",
        ForeignKey("staged_artifacts.id"),
        primary_key=True,
        comment="the artifact read",
    ),
    Column("day", Date, primary_key=True, comment="UTC"),
    Column("caller", Text, primary_key=True, comment="who read it"),
    Column("hits", BigInteger, nullable=False, comment="files sent, in whole or in part"),
    Column("bytes", BigInteger, nullable=False, comment="bytes of these responses"),
    Index(None, "day"),
    comment="Reads below /static, by artifact, day and caller; written at most once a minute.",
)
