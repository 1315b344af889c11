"""What one artifact became: what the engine returns and the rows are made of."""

from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from staging_api.staging.model import CachedObject


class FileRow(TypedDict):
    """The columns of a file in ``loose_files``, less its artifact."""

    path: str
    sha256: str
    size_bytes: int
    executable: bool


class PackedRow(NamedTuple):
    """The columns of a file in ``packed_files``, less its artifact."""

    path: str
    sha256: bytes
    size_bytes: int
    offset: int
    executable: bool


@dataclass(frozen=True)
class StagedFile:
    """One file that can be served: `path` is relative to the build's static folder."""

    path: str
    sha256: str
    size_bytes: int
    executable: bool = False

    def row(self, prefix: str) -> FileRow:
        """Return its columns in ``loose_files``; `prefix` is the build's folder below /static."""
        return {
            "path": f"{prefix}/{self.path}",
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "executable": self.executable,
        }


@dataclass(frozen=True)
class FetchedArtifact:
    """What one artifact became.

    Attributes:
        source_url: the object it came from; of several objects, the archive.
        source_version: the object's version; None if the source has none, or of several objects.
        sha256: of the object if all of it was read, else of the one file taken out of it; of
            several files, of their list: one line ``<digest>  <path>`` each, ordered by path.
        size_bytes: of what `sha256` is of; of several files, their sum.
        files: every file, ordered by path.
        parts: what `forget` removes once the row says ``staged``.
        verified_by: the declared digest of the one object that its content has, if any.
        cached_by: how it was known that an object need not be fetched: ``sha256`` or ``version``;
            None if all were fetched.
        cached_objects: the objects whose whole content is a blob from now on.
        warnings: what of the objects was left out, or taken otherwise than it says; sentences.
    """

    source_url: str
    source_version: str | None
    sha256: str
    size_bytes: int
    files: tuple[StagedFile, ...]
    parts: tuple[str, ...] = ()
    verified_by: str | None = None
    cached_by: str | None = None
    cached_objects: tuple[CachedObject, ...] = ()
    warnings: tuple[str, ...] = ()
