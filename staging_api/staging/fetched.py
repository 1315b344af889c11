"""What one artifact became: what the engine returns and the rows are made of."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple, TypedDict, TypeVar

from staging_api.staging.model import CachedObject
from staging_api.store.blobs import Blob

T = TypeVar("T")


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
    """One file that can be served.

    Attributes:
        path: relative to the build's static folder.
        pack_offset: where it begins in the pack of its artifact; None: it is a blob of its own.
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
    """What one artifact became.

    Attributes:
        source_url: the object it came from; of several objects, the archive.
        source_version: the object's version; None if the source has none, or of several objects.
        sha256: of the object if all of it was read, else of the one file taken out of it; of
            several files, of their list: one line ``<digest>  <path>`` each, ordered by path.
        size_bytes: of what `sha256` is of; of several files, their sum.
        files: every file, ordered by path.
        pack: the blob that has those with an offset; None: there is none.
        paths: the first and the last path of them.
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
        files: ordered by path.
        pack: the blob that has those with an offset.
        folders: below ``/static``, in each of which all files are.
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
        """Return between which paths all are, if those of the files lie between these."""
        ends = [f"{folder}/{path}" for folder in self.folders for path in paths]
        return min(ends), max(ends)


def batched(rows: Iterable[T], count: int) -> Iterator[list[T]]:
    """Yield lists of so many rows, and the rest."""
    them = iter(rows)
    while batch := list(islice(them, count)):
        yield batch
