"""Tables of the published state of APT archives: generations, and their index files.

A range of numbers says which index files and Releases belong to a generation: `index_files` and
`release_files`, from ``first_number``, up to but without ``gone_number``. So a generation that
changes one package writes a few rows instead of a copy of everything.
"""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from staging_api.db.schema import (
    Bytewise,
    Time,
    Ulid,
    index_where,
    is_sha256,
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
    ARCHIVE_DECISIONS,
    GENERATION_STATES,
    INDEX_FORMS,
    KEPT_GENERATION_STATES,
    PAST_GENERATION_STATES,
    SHOWN_GENERATION_STATES,
)

_SHA256 = is_sha256("sha256")
# InRelease and Release.gpg contain a signature, so they exist only if there is a key.
_SIGNED = "name = 'Release' OR signed_by <> ''"

dists_generations = table(
    "dists_generations",
    key("id", Ulid, comment="ULID; sorts by time"),
    required("archive_id", ForeignKey("apt_archives.id"), comment="its archive"),
    required("number", BigInteger, comment="counts up, per archive"),
    required("content_number", BigInteger, comment="generation whose packages it lists"),
    *words("state", GENERATION_STATES),
    Column("run_id", ForeignKey("publisher_runs.id"), comment="null: made by rolling back"),
    required("created_at", Time, server_default=now, comment="when it was begun"),
    Column("live_at", Time, comment="when clients first saw it"),
    Column("retired_at", Time, comment="when another one went live"),
    Column("reaped_at", Time, comment="when its files were dropped"),
    Column("pinned_at", Time, comment="kept until it is unpinned"),
    Column("pinned_by", Text, comment="who pinned it"),
    CheckConstraint("content_number BETWEEN 1 AND number", name="content"),
    CheckConstraint(
        f"({one_of('state', SHOWN_GENERATION_STATES)}) = (live_at IS NOT NULL)", name="was_live"
    ),
    CheckConstraint(
        f"({one_of('state', PAST_GENERATION_STATES)}) = (retired_at IS NOT NULL)", name="retired"
    ),
    CheckConstraint("(state = 'reaped') = (reaped_at IS NOT NULL)", name="reaped"),
    CheckConstraint(
        f"pinned_at IS NULL OR {one_of('state', KEPT_GENERATION_STATES)}", name="pinned_is_kept"
    ),
    CheckConstraint("(pinned_at IS NULL) = (pinned_by IS NULL)", name="pinned_says_who"),
    UniqueConstraint("archive_id", "number"),
    # Target of the foreign keys of `distributions`: a live generation must belong to its archive.
    UniqueConstraint("archive_id", "id"),
    # At most one live generation of an archive.
    key_where("state = 'live'", "dists_generations_live_key", "archive_id"),
    index_where("state = 'retired'", "dists_generations_retired_idx", "archive_id", "retired_at"),
    index_where("state = 'building'", "dists_generations_building_idx", "archive_id"),
    Index(None, "run_id"),
    comment="One row per state of an archive's dists that clients saw, or were to see.",
)

distributions = table(
    "distributions",
    key("archive_id", ForeignKey("apt_archives.id"), comment="its archive"),
    required("live_generation_id", Ulid, comment="the generation that clients see"),
    required(
        "head_generation_id",
        Ulid,
        comment="the newest in which no suite is held; differs after going back",
    ),
    required("changed_at", Time, server_default=now, comment="when that last changed"),
    required("changed_by", Text, comment="who changed it"),
    *(
        ForeignKeyConstraint(
            ["archive_id", f"{which}_generation_id"],
            ["dists_generations.archive_id", "dists_generations.id"],
            name=f"distributions_{which}_generation_id_fkey",
        )
        for which in ("live", "head")
    ),
    comment="The generation that clients of each archive see; going live updates one row.",
)

suite_holds = table(
    "suite_holds",
    key("suite_id", ForeignKey("suites.id"), comment="the suite"),
    required(
        "generation_id",
        ForeignKey("dists_generations.id"),
        comment="the generation whose packages it shows",
    ),
    required(
        "content_number", BigInteger, comment="number of the generation that showed them first"
    ),
    required("held_at", Time, server_default=now, comment="since when"),
    required("held_by", Text, comment="who went back, or held it"),
    required("reason", Text, server_default="", comment="why; empty: not given"),
    CheckConstraint("content_number >= 1", name="content"),
    comment="One row per suite that shows an older generation's packages until the hold is lifted.",
)

archive_decisions = table(
    "archive_decisions",
    numbered(),
    required("archive_id", ForeignKey("apt_archives.id"), comment="the archive"),
    required("at", Time, server_default=now, comment="when"),
    required("caller", Text, comment="who"),
    *words("decision", ARCHIVE_DECISIONS),
    required("detail", JSONB, comment="what was given, or what it ended"),
    Index(None, "archive_id"),
    comment="One row per decision about an APT archive; runs and deletions have their own rows.",
)

generation_holds = table(
    "generation_holds",
    key("generation_id", ForeignKey("dists_generations.id"), comment="the generation"),
    key("suite_id", ForeignKey("suites.id"), comment="a suite held in it"),
    required("content_number", BigInteger, comment="generation whose packages it lists"),
    CheckConstraint("content_number >= 1", name="content"),
    Index(None, "suite_id"),
    comment="The suites that were held when a generation went live.",
)

index_blocks = table(
    "index_blocks",
    key("sha256", Text, comment="of the plain text"),
    required("last_key", LargeBinary, comment="sort key of its last entry"),
    required("entries", Integer, comment="number of its stanzas"),
    required("plain_bytes", Integer, comment="length of the plain text"),
    required("zst", LargeBinary, comment="one zstd frame, which has the plain text"),
    Column("gz", LargeBinary, comment="one gzip member"),
    Column("xz", LargeBinary, comment="one xz stream of one block"),
    CheckConstraint(_SHA256, name="sha256"),
    CheckConstraint("entries > 0 AND plain_bytes > 0", name="sizes"),
    comment="Pieces of index files, each compressed once.",
)

index_layouts = table(
    "index_layouts",
    key("sha256", Text, comment="of the hashes of its blocks"),
    required("blocks", ARRAY(Text), comment="sha256 of each, in order"),
    CheckConstraint(_SHA256, name="sha256"),
    comment="The blocks of which an index file is made.",
)

index_files = table(
    "index_files",
    numbered(),
    required("suite_id", ForeignKey("suites.id"), comment="its suite"),
    required("path", Bytewise, comment="below the suite, without the form's ending"),
    *words("form", INDEX_FORMS),
    required("served", Boolean, comment="whether it is served, not only listed"),
    required(
        "layout", ForeignKey("index_layouts.sha256"), comment="its blocks: digest of their digests"
    ),
    required("size_bytes", BigInteger, comment="length in this form"),
    required("sha256", Text, comment="in this form, in hex"),
    required("first_number", BigInteger, comment="first generation that has it"),
    Column("gone_number", BigInteger, comment="first generation that does not"),
    required("created_at", Time, server_default=now, comment="when it was made"),
    CheckConstraint(_SHA256, name="sha256"),
    CheckConstraint("gone_number > first_number", name="numbers"),
    CheckConstraint("first_number >= 1 AND size_bytes >= 0", name="sizes"),
    key_where("gone_number IS NULL", "index_files_current_key", "suite_id", "path", "form"),
    Index(None, "suite_id", "sha256"),
    Index(None, "suite_id", "path", "form", "first_number"),
    Index(None, "layout"),
    Index("index_files_gone_idx", "suite_id", "gone_number"),
    comment="The index files of the generations that are kept.",
)

release_files = table(
    "release_files",
    numbered(),
    required("suite_id", ForeignKey("suites.id"), comment="its suite"),
    required("name", Text, comment="Release, InRelease or Release.gpg"),
    required("content", LargeBinary, comment="its bytes"),
    required("sha256", Text, comment="of its bytes, in hex"),
    required("dated_at", Time, comment="its Date"),
    Column("valid_until", Time, comment="its Valid-Until"),
    Column("signed_by", Text, comment="fingerprint of the key; empty: none; null: not known"),
    Column("modified_at", Time, comment="its Last-Modified: different for each Release of a suite"),
    required("first_number", BigInteger, comment="first generation that has it"),
    Column("gone_number", BigInteger, comment="first generation that does not"),
    required("created_at", Time, server_default=now, comment="when it was made"),
    CheckConstraint("name IN ('Release', 'InRelease', 'Release.gpg')", name="name"),
    CheckConstraint(_SHA256, name="sha256"),
    CheckConstraint("gone_number > first_number", name="numbers"),
    CheckConstraint(f"first_number >= 1 AND ({_SIGNED})", name="signed"),
    key_where("gone_number IS NULL", "release_files_current_key", "suite_id", "name"),
    Index("release_files_number_idx", "suite_id", "name", "first_number"),
    comment="The Release files of the generations that are kept, signed if there was a key.",
)

lasting_releases = table(
    "lasting_releases",
    key(
        "release_id",
        ForeignKey("release_files.id", ondelete="CASCADE"),
        comment="the row of the Release",
    ),
    key("name", Text, comment="Release, InRelease or Release.gpg"),
    key("signed_by", Text, comment="fingerprint of the key; empty: none"),
    required("content", LargeBinary, comment="its bytes"),
    required("sha256", Text, comment="of its bytes, in hex"),
    required("created_at", Time, server_default=now, comment="when it was made"),
    CheckConstraint("name IN ('Release', 'InRelease', 'Release.gpg')", name="name"),
    CheckConstraint(_SHA256, name="sha256"),
    CheckConstraint(_SIGNED, name="signed"),
    comment="Release files of older generations, without the Valid-Until that has passed.",
)
