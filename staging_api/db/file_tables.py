"""Tables of staged files: loose files, which are blobs of their own, and files in packs.

The view ``staged_files`` (``functions/staged_files.sql``) shows both.
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

from staging_api.db.schema import Ulid, flag, index_where, key, required, table

loose_files = table(
    "loose_files",
    key("artifact_id", ForeignKey("staged_artifacts.id"), comment="its artifact"),
    key("path", Text, comment="below /static"),
    required("sha256", ForeignKey("blobs.sha256"), comment="of the content"),
    required("size_bytes", BigInteger, comment="length of the content"),
    flag("executable", default=False, comment="whether the archive marks it as executable"),
    CheckConstraint("size_bytes >= 0", name="size"),
    Index(None, "path"),
    Index("loose_files_folder_idx", text('path COLLATE "C"')),
    Index(None, "sha256"),
    comment="Files whose content is a blob of its own; the view staged_files has all files.",
)

packs = table(
    "packs",
    key(
        "artifact_id",
        ForeignKey("staged_artifacts.id"),
        comment="the artifact whose small files are in it",
    ),
    Column(
        "sha256",
        ForeignKey("blobs.sha256"),
        comment="of the blob; null: it was dropped, and the rows of its files are being deleted",
    ),
    required("size_bytes", BigInteger, comment="length of the blob"),
    required("first_path", Text, comment="of its files, by the bytes of their paths"),
    required("last_path", Text, comment="of its files, by the bytes of their paths"),
    CheckConstraint("size_bytes >= 0", name="size_bytes"),
    CheckConstraint('first_path COLLATE "C" <= last_path COLLATE "C"', name="paths"),
    Index(None, "sha256"),
    index_where("sha256 IS NULL", "packs_dropped_idx", "artifact_id"),
    comment="Packs: blobs that have the small files of an artifact, one behind the other.",
)

#: One artifact may have a million of these rows. So the table has one index, and triggers check the
#: rows of each statement together (``functions/packed_files.sql``), where foreign keys would check
#: each row. An index of digests would double the bytes written per row; auditors, who alone look
#: for a content, scan the rows. The order of the columns avoids padding.
packed_files = table(
    "packed_files",
    required("pack_offset", BigInteger, comment="where in the pack it begins"),
    required("size_bytes", Integer, comment="length of the content"),
    required("artifact_id", Ulid, comment="its artifact, which has the pack"),
    required("path", Text, comment="below /static"),
    required("sha256", LargeBinary, comment="of the content; 32 bytes"),
    required("executable", Boolean, comment="whether the archive marks it as executable"),
    CheckConstraint("pack_offset >= 0 AND size_bytes >= 0", name="place"),
    CheckConstraint("octet_length(sha256) = 32", name="sha256"),
    Index("packed_files_path_idx", text('path COLLATE "C"'), "artifact_id", unique=True),
    comment="Files whose content is a piece of a pack; the view staged_files has all files.",
)
