"""Documents: revisions, collections, commits, tags, and the record of what happened to them."""

from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

SQL = Path(__file__).parent.parent / "sql"


def upgrade() -> None:
    op.create_table(
        "document_collections",
        sa.Column(
            "id", sa.Integer(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column("name", sa.Text(), nullable=False, comment="as clients call it"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was first posted",
        ),
        sa.CheckConstraint(
            "length(name) BETWEEN 1 AND 36", name=op.f("document_collections_name_check")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("document_collections_pkey")),
        sa.UniqueConstraint("name", name=op.f("document_collections_name_key")),
        comment="Every collection that was ever posted.",
    )
    op.create_table(
        "document_contents",
        sa.Column(
            "id", sa.BigInteger(), sa.Identity(always=True), nullable=False, comment="1, 2, 3 ..."
        ),
        sa.Column(
            "digest",
            sa.Text(),
            nullable=False,
            comment="keyed HMAC of its documents: equal digests are equal documents",
        ),
        sa.Column(
            "documents_count", sa.Integer(), nullable=False, comment="how many documents it has"
        ),
        sa.Column(
            "posted",
            sa.LargeBinary(),
            nullable=False,
            comment="the YAML text byte for byte, compressed; sealed if key_id is set",
        ),
        sa.Column(
            "size_bytes",
            sa.BigInteger(),
            nullable=False,
            comment="length of the text as it was posted",
        ),
        sa.Column(
            "key_id",
            sa.Text(),
            nullable=True,
            comment="key that seals the text; null: no document is encrypted",
        ),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was first posted",
        ),
        sa.CheckConstraint(
            "length(digest) = 64 AND digest !~ '[^0-9a-f]'",
            name=op.f("document_contents_digest_check"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("document_contents_pkey")),
        sa.UniqueConstraint("digest", name=op.f("document_contents_digest_key")),
        comment="What a collection held: stored once, however many revisions have it.",
    )
    op.create_table(
        "document_events",
        sa.Column(
            "number", sa.BigInteger(), nullable=False, comment="place in the chain: 1, 2, 3 ..."
        ),
        sa.Column(
            "id",
            sa.Text(collation="C"),
            nullable=False,
            comment="ULID; its time is that of the event",
        ),
        sa.Column(
            "at",
            sa.DateTime(timezone=True),
            nullable=False,
            comment="when, by the database's clock",
        ),
        sa.Column(
            "kind", sa.Text(), nullable=False, comment="revision, commit, confirm, undo, tag, untag"
        ),
        sa.Column(
            "revision", sa.BigInteger(), nullable=False, comment="which revision it is about"
        ),
        sa.Column(
            "name", sa.Text(), nullable=True, comment="of the collection or of the tag, by kind"
        ),
        sa.Column("actor", sa.Text(), nullable=False, comment="on whose behalf"),
        sa.Column("holder", sa.Text(), nullable=True, comment="the process that did it"),
        sa.Column(
            "reference_id", sa.Text(), nullable=True, comment="the caller's X-Context-Marker"
        ),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            nullable=True,
            comment="the grant under which it was done; null: under none",
        ),
        sa.Column("fence", sa.BigInteger(), nullable=True, comment="of that grant"),
        sa.Column("reason", sa.Text(), nullable=True, comment="why, in the caller's words"),
        sa.Column(
            "detail",
            postgresql.JSONB(),
            nullable=False,
            comment="what else: kind of revision, digest, times",
        ),
        sa.Column(
            "previous_digest",
            sa.Text(),
            nullable=True,
            comment="digest of the event before it; null for the first",
        ),
        sa.Column(
            "digest",
            sa.Text(),
            nullable=False,
            comment="sha256 of all other columns, in order, as JSON",
        ),
        sa.CheckConstraint(
            "kind IN ('revision', 'commit', 'confirm', 'undo', 'tag', 'untag')",
            name=op.f("document_events_kind_check"),
        ),
        sa.CheckConstraint(
            "length(digest) = 64 AND digest !~ '[^0-9a-f]'",
            name=op.f("document_events_digest_check"),
        ),
        sa.CheckConstraint(
            "(number = 1) = (previous_digest IS NULL)",
            name=op.f("document_events_first_has_none_before_check"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("document_events_pkey")),
        sa.UniqueConstraint("id", name=op.f("document_events_id_key")),
        comment="Every change of documents: who, what, why; each row vouches for the one before.",
    )
    op.create_index(
        op.f("document_events_revision_idx"), "document_events", ["revision"], unique=False
    )
    op.create_table(
        "document_keys",
        sa.Column("id", sa.Text(), nullable=False, comment="its name, beside what it seals"),
        sa.Column("key", sa.LargeBinary(), nullable=False, comment="32 bytes"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was made",
        ),
        sa.CheckConstraint("octet_length(key) = 32", name=op.f("document_keys_key_check")),
        sa.PrimaryKeyConstraint("id", name=op.f("document_keys_pkey")),
        comment="Keys for documents, unless STAGING_DOCUMENTS_KEYS_FILE has them; not for auditors.",
    )
    op.create_table(
        "document_bodies",
        sa.Column("content_id", sa.BigInteger(), nullable=False, comment="its content"),
        sa.Column("position", sa.Integer(), nullable=False, comment="in the text: 0, 1, 2 ..."),
        sa.Column("schema", sa.Text(), nullable=False, comment="such as pegleg/Script/v1"),
        sa.Column("name", sa.Text(), nullable=False, comment="metadata.name"),
        sa.Column(
            "layer",
            sa.Text(),
            nullable=True,
            comment="metadata.layeringDefinition.layer; null: a control document",
        ),
        sa.Column("replacement", sa.Boolean(), nullable=False, comment="metadata.replacement"),
        sa.Column("storage_policy", sa.Text(), nullable=False, comment="cleartext, encrypted"),
        sa.Column(
            "body",
            postgresql.JSON(),
            nullable=True,
            comment="the document as JSON; null if it is encrypted",
        ),
        sa.Column(
            "sealed",
            sa.LargeBinary(),
            nullable=True,
            comment="the document as JSON, by AES-GCM; null if cleartext",
        ),
        sa.CheckConstraint(
            "storage_policy = 'cleartext' OR body IS NULL",
            name=op.f("document_bodies_encrypted_is_sealed_check"),
        ),
        sa.CheckConstraint(
            "storage_policy IN ('cleartext', 'encrypted')",
            name=op.f("document_bodies_storage_policy_check"),
        ),
        sa.CheckConstraint(
            "num_nonnulls(body, sealed) = 1", name=op.f("document_bodies_one_form_check")
        ),
        sa.ForeignKeyConstraint(
            ["content_id"], ["document_contents.id"], name=op.f("document_bodies_content_id_fkey")
        ),
        sa.PrimaryKeyConstraint("content_id", "position", name=op.f("document_bodies_pkey")),
        comment="The documents of a content, parsed; those that are encrypted only sealed.",
    )
    op.create_index(
        op.f("document_bodies_schema_name_idx"), "document_bodies", ["schema", "name"], unique=False
    )
    op.create_table(
        "document_revisions",
        sa.Column("number", sa.BigInteger(), nullable=False, comment="1, 2, 3 ..."),
        sa.Column(
            "kind",
            sa.Text(),
            nullable=False,
            comment="posted, emptied, replaced, discarded, rolled_back, undone",
        ),
        sa.Column(
            "collection_id",
            sa.Integer(),
            nullable=True,
            comment="the one that was posted, emptied or discarded; null: all",
        ),
        sa.Column(
            "copied_from",
            sa.BigInteger(),
            nullable=True,
            comment="the revision whose collections it took; 0: an empty one",
        ),
        sa.Column(
            "digest",
            sa.Text(),
            nullable=False,
            comment="sha256 of its collections and their digests",
        ),
        sa.Column("caller", sa.Text(), nullable=False, comment="who made it"),
        sa.Column("holder", sa.Text(), nullable=False, comment="the process that made it"),
        sa.Column(
            "reference_id", sa.Text(), nullable=True, comment="the caller's X-Context-Marker"
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="why, in the caller's words"),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="the grant under which it was made",
        ),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="of that grant"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was made",
        ),
        sa.CheckConstraint(
            "kind IN ('posted', 'emptied', 'replaced', 'discarded', 'rolled_back', 'undone')",
            name=op.f("document_revisions_kind_check"),
        ),
        sa.CheckConstraint(
            "length(digest) = 64 AND digest !~ '[^0-9a-f]'",
            name=op.f("document_revisions_digest_check"),
        ),
        sa.CheckConstraint(
            "copied_from < number", name=op.f("document_revisions_copied_from_check")
        ),
        sa.CheckConstraint("number >= 1", name=op.f("document_revisions_number_check")),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["document_collections.id"],
            name=op.f("document_revisions_collection_id_fkey"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("document_revisions_pkey")),
        comment="Every state of all documents there was; the newest uncommitted one is the buffer.",
    )
    op.create_table(
        "document_collection_versions",
        sa.Column("collection_id", sa.Integer(), nullable=False, comment="which collection"),
        sa.Column(
            "first_revision",
            sa.BigInteger(),
            nullable=False,
            comment="the first that has this content",
        ),
        sa.Column(
            "until_revision",
            sa.BigInteger(),
            nullable=True,
            comment="the first that does not; null: the newest has it",
        ),
        sa.Column("content_id", sa.BigInteger(), nullable=False, comment="what it holds"),
        sa.CheckConstraint(
            "until_revision > first_revision", name=op.f("document_collection_versions_range_check")
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["document_collections.id"],
            name=op.f("document_collection_versions_collection_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["content_id"],
            ["document_contents.id"],
            name=op.f("document_collection_versions_content_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["first_revision"],
            ["document_revisions.number"],
            name=op.f("document_collection_versions_first_revision_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["until_revision"],
            ["document_revisions.number"],
            name=op.f("document_collection_versions_until_revision_fkey"),
        ),
        sa.PrimaryKeyConstraint(
            "collection_id", "first_revision", name=op.f("document_collection_versions_pkey")
        ),
        comment="Which content a collection had, in which range of revisions.",
    )
    op.create_index(
        op.f("document_collection_versions_content_id_idx"),
        "document_collection_versions",
        ["content_id"],
        unique=False,
    )
    op.create_index(
        "document_collection_versions_current_key",
        "document_collection_versions",
        ["collection_id"],
        unique=True,
        postgresql_where=sa.text("until_revision IS NULL"),
    )
    op.create_index(
        op.f("document_collection_versions_until_revision_idx"),
        "document_collection_versions",
        ["until_revision"],
        unique=False,
    )
    _history()


def _history() -> None:
    op.create_table(
        "document_commits",
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=False,
            comment="what was committed; the highest one is the version 'committed'",
        ),
        sa.Column(
            "forced", sa.Boolean(), nullable=False, comment="whether its validations had failed"
        ),
        sa.Column("caller", sa.Text(), nullable=False, comment="who committed it"),
        sa.Column("holder", sa.Text(), nullable=False, comment="the process that did it"),
        sa.Column(
            "reference_id", sa.Text(), nullable=True, comment="the caller's X-Context-Marker"
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="why, in the caller's words"),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="the grant under which it was committed",
        ),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="of that grant"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when",
        ),
        sa.Column(
            "confirm_until",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="undone then, unless confirmed; null: final at once",
        ),
        sa.Column(
            "confirmed_at",
            sa.DateTime(timezone=True),
            nullable=True,
            comment="when it was confirmed",
        ),
        sa.Column("confirmed_by", sa.Text(), nullable=True, comment="who confirmed it"),
        sa.Column(
            "undone_in", sa.BigInteger(), nullable=True, comment="the revision that undid it"
        ),
        sa.CheckConstraint(
            "(confirmed_at IS NULL) = (confirmed_by IS NULL)",
            name=op.f("document_commits_confirmed_says_who_check"),
        ),
        sa.CheckConstraint(
            "confirm_until IS NOT NULL OR (confirmed_at IS NULL AND undone_in IS NULL)",
            name=op.f("document_commits_final_check"),
        ),
        sa.CheckConstraint(
            "confirmed_at IS NULL OR undone_in IS NULL",
            name=op.f("document_commits_confirmed_or_undone_check"),
        ),
        sa.CheckConstraint(
            "undone_in > revision", name=op.f("document_commits_undone_later_check")
        ),
        sa.ForeignKeyConstraint(
            ["revision"], ["document_revisions.number"], name=op.f("document_commits_revision_fkey")
        ),
        sa.ForeignKeyConstraint(
            ["undone_in"],
            ["document_revisions.number"],
            name=op.f("document_commits_undone_in_fkey"),
        ),
        sa.PrimaryKeyConstraint("revision", name=op.f("document_commits_pkey")),
        comment="Which revisions were committed, by whom, and whether they were confirmed or undone.",
    )
    op.create_index(
        "document_commits_unconfirmed_idx",
        "document_commits",
        ["confirm_until"],
        unique=False,
        postgresql_where=sa.text(
            "confirm_until IS NOT NULL AND confirmed_at IS NULL AND undone_in IS NULL"
        ),
    )
    op.create_table(
        "document_places",
        sa.Column("schema", sa.Text(), nullable=False, comment="of the document"),
        sa.Column("name", sa.Text(), nullable=False, comment="of the document"),
        sa.Column(
            "replacement", sa.Boolean(), nullable=False, comment="it stands for another of its name"
        ),
        sa.Column(
            "first_revision",
            sa.BigInteger(),
            nullable=False,
            comment="the first in which it is there",
        ),
        sa.Column(
            "until_revision",
            sa.BigInteger(),
            nullable=True,
            comment="the first in which it is not; null: it is in the newest",
        ),
        sa.Column("collection_id", sa.Integer(), nullable=False, comment="in which collection"),
        sa.CheckConstraint(
            "length(schema) <= 64 AND length(name) <= 64", name=op.f("document_places_widths_check")
        ),
        sa.CheckConstraint(
            "until_revision > first_revision", name=op.f("document_places_range_check")
        ),
        sa.ForeignKeyConstraint(
            ["collection_id"],
            ["document_collections.id"],
            name=op.f("document_places_collection_id_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["first_revision"],
            ["document_revisions.number"],
            name=op.f("document_places_first_revision_fkey"),
        ),
        sa.ForeignKeyConstraint(
            ["until_revision"],
            ["document_revisions.number"],
            name=op.f("document_places_until_revision_fkey"),
        ),
        sa.PrimaryKeyConstraint(
            "schema", "name", "replacement", "first_revision", name=op.f("document_places_pkey")
        ),
        comment="In which collection a document is, and in which range of revisions: never in two.",
    )
    op.create_index(
        "document_places_collection_idx",
        "document_places",
        ["collection_id"],
        unique=False,
        postgresql_where=sa.text("until_revision IS NULL"),
    )
    op.create_index(
        "document_places_current_key",
        "document_places",
        ["schema", "name", "replacement"],
        unique=True,
        postgresql_where=sa.text("until_revision IS NULL"),
    )
    op.create_index(
        "document_places_one_layering_policy_key",
        "document_places",
        [sa.literal_column("(true)")],
        unique=True,
        postgresql_where=sa.text("until_revision IS NULL AND schema ~ '^deckhand/LayeringPolicy/'"),
    )
    op.create_index(
        op.f("document_places_until_revision_idx"),
        "document_places",
        ["until_revision"],
        unique=False,
    )
    op.create_table(
        "document_tags",
        sa.Column("revision", sa.BigInteger(), nullable=False, comment="which revision"),
        sa.Column(
            "tag",
            sa.Text(),
            nullable=False,
            comment="a name; site-action-success and -failure make the versions of site actions",
        ),
        sa.Column(
            "data",
            postgresql.JSONB(),
            nullable=True,
            comment="whatever the caller wants to keep with it",
        ),
        sa.Column("caller", sa.Text(), nullable=False, comment="who set it last"),
        sa.Column("holder", sa.Text(), nullable=False, comment="the process that did it"),
        sa.Column(
            "reference_id", sa.Text(), nullable=True, comment="the caller's X-Context-Marker"
        ),
        sa.Column("reason", sa.Text(), nullable=True, comment="why, in the caller's words"),
        sa.Column(
            "lock_id",
            sa.Text(collation="C"),
            nullable=False,
            comment="the grant under which it was set",
        ),
        sa.Column("fence", sa.BigInteger(), nullable=False, comment="of that grant"),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("clock_timestamp()"),
            nullable=False,
            comment="when it was set last",
        ),
        sa.CheckConstraint("length(tag) BETWEEN 1 AND 64", name=op.f("document_tags_tag_check")),
        sa.ForeignKeyConstraint(
            ["revision"], ["document_revisions.number"], name=op.f("document_tags_revision_fkey")
        ),
        sa.PrimaryKeyConstraint("revision", "tag", name=op.f("document_tags_pkey")),
        comment="Names of revisions.",
    )
    op.create_index("document_tags_tag_idx", "document_tags", ["tag", "revision"], unique=False)
    # The driver alone, without parameters: a colon or percent sign in the file is only itself.
    op.get_bind().exec_driver_sql((SQL / "0014_documents.sql").read_text().replace("%", "%%"))
