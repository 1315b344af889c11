"""Tables of an APT archive: its suites, its pool, and all packages that were ever uploaded."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Computed,
    ForeignKey,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY

from staging_api.db.schema import (
    Bytewise,
    Time,
    flag,
    index_where,
    is_sha256,
    key,
    key_where,
    now,
    numbered,
    required,
    table,
)

_SHA256 = is_sha256("sha256")
_none = text("'{}'")

apt_archives = table(
    "apt_archives",
    numbered(kind=Integer),
    required("name", Text, unique=True, comment="first segment below /archive"),
    required("origin", Text, server_default="", comment="of its Releases; empty: none"),
    required("label", Text, server_default="", comment="of its Releases; empty: none"),
    required("forms", ARRAY(Text), comment="of index files: plain, gz, xz, zst"),
    flag("publish_by_hash", default=True, comment="whether index files are served by hash as well"),
    flag("advertise_by_hash", default=True, comment="whether Release says Acquire-By-Hash"),
    Column("valid_for_seconds", Integer, comment="how long clients may trust a Release"),
    required("retention_seconds", Integer, comment="how long old generations are kept"),
    required("quarantine_seconds", Integer, comment="how long superseded files are kept"),
    required("created_at", Time, server_default=now, comment="when it was made"),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9.+-]{0,63}$'", name="name"),
    CheckConstraint(
        "cardinality(forms) > 0 AND forms <@ ARRAY['plain', 'gz', 'xz', 'zst']", name="forms"
    ),
    CheckConstraint("valid_for_seconds > 0", name="valid_for"),
    CheckConstraint("retention_seconds >= 0 AND quarantine_seconds >= 0", name="times"),
    CheckConstraint("publish_by_hash OR NOT advertise_by_hash", name="advertised_is_published"),
    comment="One row per APT archive that this service publishes.",
)

suites = table(
    "suites",
    numbered(kind=Integer),
    required("archive_id", ForeignKey("apt_archives.id"), comment="its archive"),
    required("name", Text, comment="folder below dists"),
    required("codename", Text, comment="as in Release"),
    required("aliases", ARRAY(Text), server_default=_none, comment="further names of it"),
    required("description", Text, server_default="", comment="as in Release; empty: none"),
    flag("immutable", default=False, comment="accepts no package"),
    flag("auto_accept", default=True, comment="whether uploads need no approval"),
    flag(
        "not_automatic",
        default=False,
        comment="NotAutomatic of Release: apt installs from it only on request",
    ),
    flag(
        "but_automatic_upgrades",
        default=False,
        comment="ButAutomaticUpgrades of Release: apt upgrades what came from it",
    ),
    Column("dirty_since", Time, comment="null: the newest generation shows all that is published"),
    Column("rebuild_since", Time, comment="since when a full rebuild is due; null: none is"),
    required("created_at", Time, server_default=now, comment="when it was made"),
    CheckConstraint("name ~ '^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,127}$'", name="name"),
    CheckConstraint("codename ~ '^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,127}$'", name="codename"),
    UniqueConstraint("archive_id", "name"),
    comment="One row per suite, such as stable or stable-security.",
)

_COMPONENT_NAME = r"""
    name ~ '^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,63}(/[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,63}){0,3}$'
    AND name !~ '^(Release|InRelease|Release\.gpg)(/|$)'
    AND name !~ '/(source|debian-installer|by-hash|binary-[^/]*)(/|$)'
"""

components = table(
    "components",
    key("suite_id", ForeignKey("suites.id"), comment="its suite"),
    key("name", Text, comment="as in sources.list"),
    required("position", Integer, comment="order in Release: 0, 1, 2 ..."),
    CheckConstraint(_COMPONENT_NAME, name="name"),
    CheckConstraint("position >= 0", name="position"),
    UniqueConstraint("suite_id", "position"),
    comment="The components of a suite, such as main.",
)

architectures = table(
    "architectures",
    key("suite_id", ForeignKey("suites.id"), comment="its suite"),
    key("name", Text, comment="as dpkg names it; never all"),
    CheckConstraint("name ~ '^[a-z0-9][a-z0-9-]{0,63}$' AND name <> 'all'", name="name"),
    comment="The architectures of a suite; packages for all are listed in each of them.",
)

package_files = table(
    "package_files",
    numbered(),
    required("archive_id", ForeignKey("apt_archives.id"), comment="its archive"),
    required("path", Bytewise, comment="below the archive's root: pool/..."),
    required("sha256", Text, comment="of the content, in hex"),
    required("size_bytes", BigInteger, comment="length of the content"),
    required("created_at", Time, server_default=now, comment="when it came into the pool"),
    Column("removed_at", Time, comment="when it left the pool"),
    # This foreign key keeps a blob in the store as long as a file of the pool has its content.
    Column(
        "blob",
        ForeignKey("blobs.sha256"),
        Computed("CASE WHEN (removed_at IS NULL) THEN sha256 ELSE NULL::text END", persisted=True),
        comment="the content in the store; null once it left the pool",
    ),
    CheckConstraint("starts_with(path, 'pool/')", name="path"),
    CheckConstraint("size_bytes >= 0", name="size"),
    CheckConstraint(_SHA256, name="sha256"),
    # Unique: refuses an upload whose path has another content.
    key_where("removed_at IS NULL", "package_files_path_key", "archive_id", "path"),
    # Files that left the pool still restrict which content may be uploaded at their paths.
    index_where("removed_at IS NOT NULL", "package_files_past_idx", "archive_id", "path"),
    Index(None, "blob"),
    comment="The files of the pool, and those that left it.",
)

source_releases = table(
    "source_releases",
    numbered(),
    required("archive_id", ForeignKey("apt_archives.id"), comment="its archive"),
    required("package", Bytewise, comment="name of the source package"),
    required("version", Text, comment="as in its .dsc"),
    required("version_key", Bytewise, comment="sorts bytewise as the versions do"),
    required("control", Text, comment="the stanza of its .dsc, word for word"),
    required("created_at", Time, server_default=now, comment="when it was first uploaded"),
    Column("removed_at", Time, comment="when its files left the pool"),
    key_where(
        "removed_at IS NULL", "source_releases_version_key", "archive_id", "package", "version_key"
    ),
    comment="One row per version of a source package in an archive.",
)

source_release_files = table(
    "source_release_files",
    key("source_release_id", ForeignKey("source_releases.id"), comment="the source package"),
    key("position", Integer, comment="0: the .dsc; then as it lists them"),
    required("file_id", ForeignKey("package_files.id"), comment="the file of the pool"),
    CheckConstraint("position >= 0", name="position"),
    Index(None, "file_id"),
    comment="The files of a source package; versions share them.",
)

binary_releases = table(
    "binary_releases",
    numbered(),
    required("archive_id", ForeignKey("apt_archives.id"), comment="its archive"),
    required("package", Bytewise, comment="name of the binary package"),
    required("version", Text, comment="as in its control file"),
    required("version_key", Bytewise, comment="sorts bytewise as the versions do"),
    required("architecture", Bytewise, comment="as dpkg names it; may be all"),
    required("installer", Boolean, comment="whether it is a .udeb"),
    required("source", Bytewise, comment="the source that it was built from"),
    required(
        "source_version_key",
        Bytewise,
        comment="version of that source; sorts bytewise as the versions do",
    ),
    required("control", Text, comment="its control file, word for word"),
    required("file_id", ForeignKey("package_files.id"), comment="the file of the pool"),
    required("created_at", Time, server_default=now, comment="when it was first uploaded"),
    Column("removed_at", Time, comment="when its file left the pool"),
    key_where(
        "removed_at IS NULL",
        "binary_releases_version_key",
        "archive_id",
        "package",
        "version_key",
        "architecture",
        "installer",
    ),
    Index(None, "file_id"),
    Index(None, "archive_id", "source", "source_version_key"),
    # Few archives have installer packages, and each publisher run looks for them.
    index_where("installer", "binary_releases_installer_idx", "id"),
    comment="One row per version of a binary package in an archive.",
)
