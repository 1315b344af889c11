"""What index files list, index files and Releases, and the files that clients get."""

from dataclasses import dataclass, field
from datetime import datetime

from staging_api.debian.forms import Form

#: The word for a form in API and tables, where "" would say too little.
FORM_OF = {"plain": Form.PLAIN, "gz": Form.GZ, "xz": Form.XZ, "zst": Form.ZST}
WORD_OF = {form: word for word, form in FORM_OF.items()}


@dataclass(frozen=True)
class Package:
    """A package as an index file lists it.

    Attributes:
        control: its control file, or the stanza of its .dsc.
        source_release_id: of a source; identifies its further files.
        path: of the .deb, .udeb or .dsc, as are `size_bytes` and `sha256`.
    """

    control: str
    source_release_id: int | None
    path: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class Unlisted(Package):
    """A package publication that index files do not show as it is.

    Attributes:
        since: when that began; changes when the publication changes again.
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
    """One index file in one form, as a generation has it.

    Attributes:
        path: below the suite, without the ending of the form.
        form: the word for its form.
        served: whether it can be fetched, or is only listed in Release.
        layout: sha256 of the hashes of its blocks.
        blocks: sha256 of each block, of a file that was just made.
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
        """Its path below the suite."""
        return self.path + FORM_OF[self.form]


@dataclass(frozen=True)
class ReleaseText:
    """Release, InRelease or Release.gpg of a suite.

    Attributes:
        signed_by: fingerprint of the key; empty for none, None if it is not known.
        modified_at: its Last-Modified, in whole seconds; later than that of the one before.
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
    """A file below ``/archive``, and where its bytes are.

    Attributes:
        name: decides the media type.
        modified_at: its Last-Modified; None while an older file could have the same.
        content: the bytes themselves, of a Release.
        blocks: sha256 of each block, of an index file of `form`.
        lasting: whether the same address will never have other bytes.
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
    """A file of an archive's pool or dists, as a copy of the archive has it."""

    path: str
    sha256: str
    size_bytes: int
