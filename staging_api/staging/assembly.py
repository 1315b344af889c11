"""Assemble one artifact in the store, from the files in its source objects."""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from staging_api.catalogue.absence import absent_member
from staging_api.catalogue.model import ArtifactKind, Choice
from staging_api.errors import ArtifactNotFound
from staging_api.formats.extractors import EXTRACTORS
from staging_api.formats.model import Keep, Member, UnpackLimits
from staging_api.name_table import NameTable
from staging_api.sources.model import SourceObject
from staging_api.staging.cached_objects import CacheHit, SourceLookup, retry_if_removed
from staging_api.staging.download import key_of
from staging_api.staging.fetched import FetchedArtifact, StagedFile
from staging_api.staging.file_table import FileFacts, FileTable
from staging_api.staging.model import CachedObject
from staging_api.staging.object_reader import ObjectReader
from staging_api.staging.write_tracker import WriteTracker
from staging_api.store.batch import Batch
from staging_api.store.blobs import Blob

#: Limit of names of skipped members, which are kept for the message that no member was selected.
_MOST_PASSED_OVER = 1000


class ArtifactAssembly:
    """The files of one artifact so far, and the facts about their source objects."""

    def __init__(
        self,
        kind: ArtifactKind,
        choice: Choice,
        build: str,
        batch: Batch,
        tracker: WriteTracker,
        *,
        pack_below: int,
    ) -> None:
        """Start without files; members of less than `pack_below` bytes go into a pack."""
        self._kind = kind
        self._choice = choice
        self._build = build
        self._batch = batch
        self._tracker = tracker
        # An artifact of one file can be followed while it grows (`WriteTracker`), so its file never
        # goes into a pack.
        self._pack_below = 0 if kind.is_one_file else pack_below
        self._pack: Blob | None = None
        self._files = FileTable(batch.folder)
        self._further = NameTable(batch.folder)
        self._unpacked = NameTable(batch.folder)
        self._newest = ""
        self._newest_is_packed = False
        self._passed_over: list[str] = []
        self._whole: tuple[str, int] | None = None
        self._verified_by: str | None = None
        self._proofs: set[str] = set()
        self._cached: list[CachedObject] = []
        self._cached_unless_packed: list[CachedObject] = []
        self._warnings: list[str] = []

    @property
    def plain(self) -> bool:
        """Whether objects are stored unchanged."""
        return self._choice.is_plain

    def unpack(
        self, lookup: SourceLookup, reader: ObjectReader, own: Path | None, limits: UnpackLimits
    ) -> None:
        """Read one object, unpack it, and compare it with the digests that its source declares.

        Args:
            lookup: the object; on a cache hit, `reader` reads it from the store.
            reader: its bytes.
            own: the file that contains the whole object after it was read, if there is one.
            limits: limits for unpacking.

        Raises:
            ArtifactNotFound: the object has no member that the artifact selects.
        """
        self._unpacked = NameTable(self._batch.folder)
        self._passed_over.clear()
        extract = EXTRACTORS[self._choice.extract].extract
        limits = replace(limits, scratch=self._batch.folder)
        notes = extract(reader, self._selected, self._keeper(own), limits)
        self._warnings.extend(f"{reader.name}: {note}" for note in notes)
        if not self._unpacked:
            raise ArtifactNotFound(
                absent_member(self._kind, self._choice, reader.name, self._passed_over)
            )
        self._whole = reader.verified(self._newest)
        self._verified_by = reader.checked if self._whole else None
        if lookup.hit is not None:
            self._note(lookup.hit)
        elif self.plain and self._whole is not None:
            self._remember(lookup.source_object, *self._whole)

    def reuse(self, source_object: SourceObject, hit: CacheHit) -> None:
        """Add an object whose content the store already has, unchanged.

        Raises:
            Unavailable: the blob was removed after the lookup.
        """
        with retry_if_removed():
            self._batch.reuse(hit.blob)
        path = self._kind.target(source_object.name, self._build)
        digest = bytes.fromhex(hit.blob.sha256)
        self._add(path, FileFacts(digest, hit.blob.size_bytes, executable=False, offset=None))
        self._whole = hit.blob.sha256, hit.blob.size_bytes
        self._note(hit)

    def result(self, archive: str, source_objects: Sequence[SourceObject]) -> FetchedArtifact:
        """Return the finished artifact, after all objects were added."""
        files = self._files.finished(self._pack)
        one = source_objects[0] if len(source_objects) == 1 else None
        # `_whole` describes the object that was read last: it describes the artifact only if there
        # is one object.
        digest, size = self._whole if one and self._whole else _of_all(files)
        return FetchedArtifact(
            source_url=one.url if one else archive,
            source_version=one.version if one else None,
            sha256=digest,
            size_bytes=size,
            files=files,
            pack=self._pack,
            paths=self._files.ends() if self._pack else ("", ""),
            verified_by=self._verified_by if one else None,
            parts=tuple(key for key in map(key_of, source_objects) if key is not None),
            cached_by=",".join(sorted(self._proofs)) or None,
            # A file in a pack is no blob of its own, as a cached object is.
            cached_objects=(*self._cached, *(() if self._pack else self._cached_unless_packed)),
            warnings=tuple(self._warnings),
        )

    def seal(self) -> None:
        """End the pack, after all objects were added and before the batch is committed."""
        self._pack = self._batch.seal_pack()

    def _keeper(self, own: Path | None) -> Keep:
        def keep(member: Member, chunks: Iterable[bytes]) -> None:
            if member.gone:
                self._remove(member.path)
                return
            # A link: the content is stored once, under two paths.
            if member.same_as is not None:
                self._add(member.path, self._files.find(member.same_as))
                return
            size = member.size_bytes
            if size is not None and size < self._pack_below and own is None:
                # Less than `pack_below` bytes, so it fits into memory.
                digest, offset = self._batch.keep_small(b"".join(chunks))
            else:
                blob = self._kept(member, chunks, own)
                digest, size, offset = bytes.fromhex(blob.sha256), blob.size_bytes, None
            self._newest, self._newest_is_packed = digest.hex(), offset is not None
            self._add(member.path, FileFacts(digest, size, member.executable, offset))

        return keep

    def _kept(self, member: Member, chunks: Iterable[bytes], own: Path | None) -> Blob:
        file = own
        if self._kind.is_one_file:
            file = own or self._batch.new_file()
            chunks = self._tracker.counted(file, member.size_bytes, chunks)
        if own is not None:
            return self._batch.adopt(own, chunks)
        return self._batch.keep(chunks, member.size_bytes, file, sparse=member.sparse)

    def _note(self, hit: CacheHit) -> None:
        self._proofs.add(hit.content.proof)
        self._verified_by = hit.content.verified_by

    def _remember(self, source_object: SourceObject, sha256: str, size_bytes: int) -> None:
        url, version = source_object.url, source_object.version
        if source_object.strong and version is not None:
            cached = self._cached_unless_packed if self._newest_is_packed else self._cached
            cached.append(CachedObject(url, version, size_bytes, sha256, self._verified_by))

    def _selected(self, member: str) -> str | None:
        if self.plain or self._choice.takes(member):
            return self._kind.target(member, self._build)
        if len(self._passed_over) < _MOST_PASSED_OVER:
            self._passed_over.append(member)
        return None

    def _remove(self, path: str) -> None:
        """Remove a file and its further paths."""
        self._unpacked.pop(path)
        self._files.remove(path)
        own = path.encode()
        for further in [each for each, first in self._further.items() if first == own]:
            self._further.pop(further)
            self._files.remove(further)

    def _add(self, path: str, file: FileFacts) -> None:
        self._unpacked[path] = b""
        self._files.add(path, file)
        if not self._kind.also:
            return
        # This path now has a file of its own, so it is no longer a further path of another file.
        self._further.pop(path)
        for further in self._kind.further_paths(path, self._build):
            # The path of a file takes precedence over a further path of another file.
            if further not in self._files or self._further.get(further) == path.encode():
                self._files.add(further, file)
                self._further[further] = path.encode()


def _of_all(files: Collection[StagedFile]) -> tuple[str, int]:
    digest, size, newest, count = hashlib.sha256(), 0, "", 0
    for file in files:
        # The lines that sha256sum writes, so that the digest can be checked without this program.
        digest.update(f"{file.sha256}  {file.path}\n".encode())
        size += file.size_bytes
        newest, count = file.sha256, count + 1
    return newest if count == 1 else digest.hexdigest(), size
