"""The result of fetching one artifact, and the rows made from it."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypedDict, TypeVar

from staging_api.staging.model import CachedObject
from staging_api.store.blobs import Blob

T = TypeVar("T")


class FileRow(TypedDict):
    """The columns of a file in ``loose_files``, without its artifact."""

    path: str
    sha256: str
    size_bytes: int
    executable: bool


class PackedRow(NamedTuple):
    """The columns of a file in ``packed_files``, without its artifact."""

    path: str
    sha256: bytes
    size_bytes: int
    offset: int
    executable: bool


@dataclass(frozen=True)
class StagedFile:
    """One file that can be served.

    Attributes:
        path: relative to the build's static folder.
        pack_offset: its offset in the pack of its artifact; None: it is a blob of its own.
    """

    path: str
    sha256: str
    size_bytes: int
    executable: bool = False
    pack_offset: int | None = None

    def row(self, prefix: str) -> FileRow:
        """Return its columns in ``loose_files``; `prefix` is the build's folder below /static."""
        return {
            "path": f"{prefix}/{self.path}",
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "executable": self.executable,
        }

    def packed_row(self, prefix: str, offset: int) -> PackedRow:
        """Return its columns in ``packed_files``; `prefix` is the build's folder below /static."""
        digest = bytes.fromhex(self.sha256)
        path = f"{prefix}/{self.path}"
        return PackedRow(path, digest, self.size_bytes, offset, self.executable)


@dataclass(frozen=True)
class FetchedArtifact:
    """The result of fetching one artifact.

    Attributes:
        source_url: the source object; for several objects, the archive.
        source_version: version of the object; None if the source has none, or for several objects.
        sha256: digest of the object if all of it was read, else of the one extracted file; for
            several files, digest of their list: one line ``<digest>  <path>`` each, ordered by
            path.
        size_bytes: length of the content of `sha256`; for several files, their sum.
        files: every file, ordered by path.
        pack: the blob with all files that have an offset; None: there is none.
        paths: the first and the last path of the files.
        parts: keys of the downloads that `forget` removes once the row says ``staged``.
        verified_by: the declared digest with which the content of the one object was compared, if
            any.
        cached_by: proof by which an object was a cache hit: ``sha256`` or ``version``; None if all
            were fetched.
        cached_objects: the objects whose whole content is a blob from now on.
        warnings: sentences about parts of the objects that were left out, or differ from their
            description.
    """

    source_url: str
    source_version: str | None
    sha256: str
    size_bytes: int
    files: Collection[StagedFile]
    parts: tuple[str, ...] = ()
    verified_by: str | None = None
    cached_by: str | None = None
    cached_objects: tuple[CachedObject, ...] = ()
    warnings: tuple[str, ...] = ()
    pack: Blob | None = None
    paths: tuple[str, str] = ("", "")


@dataclass(frozen=True)
class RowsOfFiles:
    """The rows of the files of an artifact, made one by one.

    Attributes:
        files: the files, ordered by path.
        pack: the blob with all files that have an offset.
        folders: folders below ``/static``, each of which has all files.
    """

    files: Collection[StagedFile]
    pack: Blob | None
    folders: Sequence[str]

    def loose(self) -> Iterator[FileRow]:
        """Yield the rows of files that are blobs of their own."""
        for folder in self.folders:
            yield from (file.row(folder) for file in self.files if file.pack_offset is None)

    def packed(self) -> Iterator[PackedRow]:
        """Yield the rows of files in the pack."""
        for folder in self.folders:
            for file in self.files:
                if file.pack_offset is not None:
                    yield file.packed_row(folder, file.pack_offset)

    def bounds(self, paths: tuple[str, str]) -> tuple[str, str]:
        """Return the first and the last served path, given those of the files themselves."""
        ends = [f"{folder}/{path}" for folder in self.folders for path in paths]
        return min(ends), max(ends)


def batched(rows: Iterable[T], count: int) -> Iterator[list[T]]:
    """Yield lists of `count` rows, the last one with the rest."""
    them = iter(rows)
    while batch := list(islice(them, count)):
        yield batch
