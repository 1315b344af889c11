"""Data model of packages in index files, index files, Releases, and files served to clients."""

from dataclasses import dataclass, field
from datetime import datetime

from staging_api.debian.forms import Form

#: Names of the forms in API and tables, where "" would be unclear.
FORM_OF = {"plain": Form.PLAIN, "gz": Form.GZ, "xz": Form.XZ, "zst": Form.ZST}
WORD_OF = {form: word for word, form in FORM_OF.items()}


@dataclass(frozen=True)
class Package:
    """A package as listed in an index file.

    Attributes:
        control: control file of the package, or the stanza of its .dsc.
        source_release_id: id of a source, to look up its further files.
        path: path of the .deb, .udeb or .dsc, to which `size_bytes` and `sha256` belong as well.
    """

    control: str
    source_release_id: int | None
    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Unlisted(Package):
    """A package publication whose current state index files do not show.

    Attributes:
        since: time of the change; changes when the publication changes again.
        shown: whether the index files are to list it.
        architecture: None for a source.
    """

    suite_id: int
    id: int
    since: datetime
    shown: bool
    component: str
    architecture: str | None
    installer: bool


@dataclass(frozen=True)
class IndexFile:
    """An index file in one form, in a generation.

    Attributes:
        path: path below the suite, without the suffix of the form.
        form: name of the form.
        served: whether clients can fetch it; otherwise it is only listed in Release.
        layout: sha256 of the hashes of its blocks.
        blocks: sha256 of each block; only if the file was just built.
    """

    suite_id: int
    path: str
    form: str
    served: bool
    layout: str
    size_bytes: int
    sha256: str
    blocks: tuple[str, ...] = field(default=(), repr=False, compare=False)

    @property
    def file_path(self) -> str:
        """Path below the suite, with the suffix of the form."""
        return self.path + FORM_OF[self.form]


@dataclass(frozen=True)
class ReleaseText:
    """Release, InRelease or Release.gpg of a suite.

    Attributes:
        signed_by: fingerprint of the key; empty if unsigned, None if unknown.
        modified_at: its Last-Modified, in whole seconds; later than that of the previous one.
    """

    suite_id: int
    name: str
    content: bytes = field(repr=False)
    dated_at: datetime
    valid_until: datetime | None
    sha256: str
    signed_by: str | None
    modified_at: datetime | None


@dataclass(frozen=True)
class ServedArchiveFile:
    """A file below ``/archive``, and the location of its bytes.

    Attributes:
        name: file name, which determines the media type.
        modified_at: its Last-Modified; None while an older file could have the same one.
        content: the bytes, for a Release.
        blocks: sha256 of each block, for an index file in `form`.
        lasting: whether the address will always have the same bytes.
    """

    name: str
    sha256: str
    size_bytes: int
    modified_at: datetime | None
    content: bytes | None = field(default=None, repr=False)
    blocks: tuple[str, ...] | None = field(default=None, repr=False)
    form: str = "plain"
    lasting: bool = False


@dataclass(frozen=True)
class ArchiveFile:
    """A file of an archive's pool or dists, for a copy of the archive."""

    path: str
    sha256: str
    size_bytes: int
