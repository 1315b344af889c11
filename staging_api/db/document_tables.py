"""Tables of documents: the line of revisions, and the content of each collection in each revision.

A revision copies nothing. The content of a collection, and the collection of a document, are stored
for a range of revisions: from ``first_revision``, up to but without ``until_revision``; null while
the range includes the newest revision. So a change of one document writes one range, however many
documents there are, and two partial unique indexes keep a document from being in two collections of
a revision.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSON, JSONB

from staging_api.db.schema import (
    Time,
    Ulid,
    index_where,
    is_sha256,
    key,
    key_where,
    now,
    numbered,
    required,
    table,
    words,
)
from staging_api.vocabulary.documents import EVENT_KINDS, REVISION_KINDS, STORAGE_POLICIES

_LAYERING_POLICY = r"schema ~ '^deckhand/LayeringPolicy/'"
_IS_CURRENT = "until_revision IS NULL"
_WAITS = "confirm_until IS NOT NULL AND confirmed_at IS NULL AND undone_in IS NULL"

document_collections = table(
    "document_collections",
    numbered(kind=Integer),
    required("name", Text, unique=True, comment="as clients call it"),
    required("created_at", Time, server_default=now, comment="when it was first posted"),
    CheckConstraint("length(name) BETWEEN 1 AND 36", name="name"),
    comment="Every collection that was ever posted.",
)

document_contents = table(
    "document_contents",
    numbered(),
    required(
        "digest",
        Text,
        unique=True,
        comment="keyed HMAC of its documents: equal digests are equal documents",
    ),
    required("documents_count", Integer, comment="how many documents it has"),
    required(
        "posted",
        LargeBinary,
        comment="the YAML text byte for byte, compressed; sealed if key_id is set",
    ),
    required("size_bytes", BigInteger, comment="length of the text as it was posted"),
    Column("key_id", Text, comment="key that seals the text; null: no document is encrypted"),
    required("created_at", Time, server_default=now, comment="when it was first posted"),
    CheckConstraint(is_sha256("digest"), name="digest"),
    CheckConstraint("documents_count >= 0 AND size_bytes >= 0", name="sizes"),
    comment="The text of a collection: stored once, however many revisions have it.",
)

document_bodies = table(
    "document_bodies",
    key("content_id", ForeignKey("document_contents.id"), comment="its content"),
    key("position", Integer, comment="in the text: 0, 1, 2 ..."),
    required("schema", Text, comment="such as pegleg/Script/v1"),
    required("name", Text, comment="metadata.name"),
    Column("layer", Text, comment="metadata.layeringDefinition.layer; null: a control document"),
    required("replacement", Boolean, comment="metadata.replacement"),
    *words("storage_policy", STORAGE_POLICIES),
    Column("body", JSON, comment="the document as JSON; null if it is encrypted"),
    Column("sealed", LargeBinary, comment="the document as JSON, by AES-GCM; null if cleartext"),
    CheckConstraint("num_nonnulls(body, sealed) = 1", name="one_form"),
    CheckConstraint(
        "(storage_policy = 'encrypted') = (sealed IS NOT NULL)", name="encrypted_is_sealed"
    ),
    CheckConstraint("position >= 0", name="position"),
    Index(None, "schema", "name"),
    comment="The parsed documents of a content; encrypted ones are stored only sealed.",
)

document_revisions = table(
    "document_revisions",
    key("number", BigInteger, comment="1, 2, 3 ..."),
    *words("kind", REVISION_KINDS),
    Column(
        "collection_id",
        ForeignKey("document_collections.id"),
        comment="the one that was posted, emptied or discarded; null: all",
    ),
    Column(
        "copied_from", BigInteger, comment="revision whose collections it copied; 0: an empty one"
    ),
    required("digest", Text, comment="sha256 of its collections and their digests"),
    required("caller", Text, comment="who made it"),
    required("holder", Text, comment="the process that made it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column("reason", Text, comment="why, in the caller's words"),
    required("lock_id", Ulid, comment="the grant under which it was made"),
    required("fence", BigInteger, comment="fence of the grant in lock_id: rises with each one"),
    required("created_at", Time, server_default=now, comment="when it was made"),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint("copied_from BETWEEN 0 AND number - 1", name="copied_from"),
    CheckConstraint(
        "CASE WHEN kind IN ('posted', 'emptied')"
        " THEN collection_id IS NOT NULL AND copied_from IS NULL"
        " WHEN kind = 'replaced' THEN num_nulls(collection_id, copied_from) = 0"
        # Either one collection is discarded, or the whole buffer.
        " WHEN kind = 'discarded' THEN num_nulls(collection_id, copied_from) = 1"
        " ELSE collection_id IS NULL AND copied_from IS NOT NULL END",
        name="made_of",
    ),
    CheckConstraint(is_sha256("digest"), name="digest"),
    comment="Every state of all documents; the newest uncommitted one is the buffer.",
)

document_collection_versions = table(
    "document_collection_versions",
    key("collection_id", ForeignKey("document_collections.id"), comment="which collection"),
    key(
        "first_revision",
        ForeignKey("document_revisions.number"),
        comment="the first that has this content",
    ),
    Column(
        "until_revision",
        ForeignKey("document_revisions.number"),
        comment="the first that does not; null: the newest has it",
    ),
    required("content_id", ForeignKey("document_contents.id"), comment="its content"),
    CheckConstraint("until_revision > first_revision", name="range"),
    key_where(_IS_CURRENT, "document_collection_versions_current_key", "collection_id"),
    Index(None, "until_revision"),
    Index(None, "content_id"),
    comment="Which content a collection had, in which range of revisions.",
)

document_places = table(
    "document_places",
    key("schema", Text, comment="of the document"),
    key("name", Text, comment="of the document"),
    key("replacement", Boolean, comment="of another of its name"),
    key(
        "first_revision",
        ForeignKey("document_revisions.number"),
        comment="the first in which it is there",
    ),
    Column(
        "until_revision",
        ForeignKey("document_revisions.number"),
        comment="the first in which it is not; null: it is in the newest",
    ),
    required(
        "collection_id", ForeignKey("document_collections.id"), comment="the collection that has it"
    ),
    CheckConstraint("until_revision > first_revision", name="range"),
    CheckConstraint("length(schema) <= 64 AND length(name) <= 64", name="widths"),
    key_where(_IS_CURRENT, "document_places_current_key", "schema", "name", "replacement"),
    # All rows that meet the condition have the same key, so at most one such row can exist.
    key_where(
        f"{_IS_CURRENT} AND {_LAYERING_POLICY}",
        "document_places_one_layering_policy_key",
        text("(true)"),
    ),
    index_where(_IS_CURRENT, "document_places_collection_idx", "collection_id"),
    Index(None, "until_revision"),
    comment="The collection of each document, by ranges of revisions: never in two at once.",
)

document_commits = table(
    "document_commits",
    key(
        "revision",
        ForeignKey("document_revisions.number"),
        comment="the committed revision; the highest one is the version 'committed'",
    ),
    required("forced", Boolean, comment="whether it was committed with errors"),
    required("caller", Text, comment="who committed it"),
    required("holder", Text, comment="the process that did it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column("reason", Text, comment="why, in the caller's words"),
    required("lock_id", Ulid, comment="the grant under which it was committed"),
    required("fence", BigInteger, comment="fence of the grant in lock_id: rises with each one"),
    required("created_at", Time, server_default=now, comment="when it was committed"),
    Column("confirm_until", Time, comment="undone then, unless confirmed; null: final at once"),
    Column("confirmed_at", Time, comment="when it was confirmed"),
    Column("confirmed_by", Text, comment="who confirmed it"),
    Column(
        "undone_in", ForeignKey("document_revisions.number"), comment="the revision that undid it"
    ),
    CheckConstraint("(confirmed_at IS NULL) = (confirmed_by IS NULL)", name="confirmed_says_who"),
    CheckConstraint(
        "confirm_until IS NOT NULL OR (confirmed_at IS NULL AND undone_in IS NULL)", name="final"
    ),
    CheckConstraint("confirmed_at IS NULL OR undone_in IS NULL", name="confirmed_or_undone"),
    CheckConstraint("undone_in > revision", name="undone_later"),
    # Workers look often for commits to undo, and there are almost none.
    index_where(_WAITS, "document_commits_unconfirmed_idx", "confirm_until"),
    # All rows that meet the condition have the same key, so at most one commit is unconfirmed.
    key_where(_WAITS, "document_commits_one_unconfirmed_key", text("(true)")),
    comment="Commits of revisions, with their confirmation or undoing.",
)

document_tags = table(
    "document_tags",
    key("revision", ForeignKey("document_revisions.number"), comment="the revision that it names"),
    key(
        "tag",
        Text,
        comment="a name; site-action-success and -failure make the versions of site actions",
    ),
    Column("data", JSONB, comment="data of the caller, kept with the tag"),
    required("caller", Text, comment="who set it last"),
    required("holder", Text, comment="the process that did it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column("reason", Text, comment="why, in the caller's words"),
    required("lock_id", Ulid, comment="the grant under which it was set"),
    required("fence", BigInteger, comment="fence of the grant in lock_id: rises with each one"),
    required("created_at", Time, server_default=now, comment="when it was set last"),
    CheckConstraint("length(tag) BETWEEN 1 AND 64", name="tag"),
    Index("document_tags_tag_idx", "tag", "revision"),
    comment="Names of revisions.",
)

document_keys = table(
    "document_keys",
    key("id", Text, comment="its name, stored with each text it seals"),
    required("key", LargeBinary, comment="32 bytes"),
    required("created_at", Time, server_default=now, comment="when it was made"),
    CheckConstraint("octet_length(key) = 32", name="key"),
    comment="Keys for documents, unless STAGING_DOCUMENTS_KEYS_FILE has them; not for auditors.",
)

document_events = table(
    "document_events",
    key("number", BigInteger, comment="place in the chain: 1, 2, 3 ..."),
    required("id", Ulid, unique=True, comment="ULID; its time is that of the event"),
    required("at", Time, comment="when, by the database's clock"),
    *words("kind", EVENT_KINDS),
    required("revision", BigInteger, comment="the revision that it is about"),
    Column("name", Text, comment="of the collection or of the tag, by kind"),
    required("actor", Text, comment="on whose behalf"),
    Column("holder", Text, comment="the process that did it"),
    Column("reference_id", Text, comment="the caller's X-Context-Marker"),
    Column("lock_id", Ulid, comment="the grant under which it was done; null: under none"),
    Column("fence", BigInteger, comment="fence of the grant in lock_id: rises with each one"),
    Column("reason", Text, comment="why, in the caller's words"),
    required("detail", JSONB, comment="what else: kind of revision, digest, times"),
    Column("previous_digest", Text, comment="digest of the event before it; null for the first"),
    required("digest", Text, comment="sha256 of all other columns, in order, as JSON"),
    CheckConstraint("number >= 1", name="number"),
    CheckConstraint("(number = 1) = (previous_digest IS NULL)", name="first_has_none_before"),
    CheckConstraint(is_sha256("digest"), name="digest"),
    Index(None, "revision"),
    comment="Every change of documents: who, what, why; each row has the digest of the one before.",
)
