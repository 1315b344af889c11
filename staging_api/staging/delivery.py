"""One artifact on its way into the store: what came out of its objects so far."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from staging_api.artifacts.model import ArtifactKind, Choice
from staging_api.artifacts.store import Batch, Blob
from staging_api.errors import ArtifactNotFound
from staging_api.formats.extractors import EXTRACTORS
from staging_api.formats.model import Keep, Limits, Member
from staging_api.sources.model import SourceObject
from staging_api.staging.download import key_of
from staging_api.staging.fetched import Fetched, StagedFile
from staging_api.staging.growth import Growth
from staging_api.staging.held import Here, Wanted, still_there
from staging_api.staging.model import HeldObject
from staging_api.staging.reading import Reading


class Delivery:
    """The files that came out so far, and what is known of the objects that they came out of."""

    def __init__(
        self, kind: ArtifactKind, choice: Choice, build: str, batch: Batch, growth: Growth
    ) -> None:
        self._kind = kind
        self._choice = choice
        self._build = build
        self._batch = batch
        self._growth = growth
        self._files: dict[str, StagedFile] = {}
        self._came_out: list[StagedFile] = []
        self._whole: tuple[str, int] | None = None
        self._verified_by: str | None = None
        self._held_by: set[str] = set()
        self._held: list[HeldObject] = []

    @property
    def plain(self) -> bool:
        """Whether objects are kept as they are."""
        return self._choice.is_plain

    def take(self, wanted: Wanted, reading: Reading, own: Path | None, limits: Limits) -> None:
        """Read one object, unpack it, and compare it with what its source says of it.

        Args:
            wanted: which; if its content is known, it is read out of the store.
            reading: its bytes.
            own: the file that has all of them once they were read, if one has.
            limits: how much may come out.
        """
        self._came_out.clear()
        extract = EXTRACTORS[self._choice.extract].extract
        extract(reading, self._selected, self._keeper(own), limits)
        if not self._came_out:
            raise ArtifactNotFound(f"{reading.name} has nothing of {self._kind.name}")
        self._whole = reading.verified(self._came_out[-1].sha256)
        self._verified_by = reading.checked if self._whole else None
        if wanted.here is not None:
            self._note(wanted.here)
        elif self.plain and self._whole is not None:
            self._remember(wanted.found, *self._whole)

    def reuse(self, found: SourceObject, here: Here) -> None:
        """Keep an object as it is, whose content the store has already.

        Raises:
            Unavailable: it was removed since it was found there.
        """
        blob = here.blob
        with still_there():
            self._batch.reuse(blob)
        path = self._kind.target(found.name, self._build)
        self._add(StagedFile(path, blob.sha256, blob.size_bytes))
        self._whole = blob.sha256, blob.size_bytes
        self._note(here)

    def result(self, archive: str, found: Sequence[SourceObject]) -> Fetched:
        """What it became, once all objects were taken."""
        files = tuple(file for _, file in sorted(self._files.items()))
        one = found[0] if len(found) == 1 else None
        digest, size = self._whole if one and self._whole else _of_all(files)
        return Fetched(
            source_url=one.url if one else archive,
            source_version=one.version if one else None,
            sha256=digest,
            size_bytes=size,
            files=files,
            verified_by=self._verified_by if one else None,
            parts=tuple(key for key in map(key_of, found) if key is not None),
            held_by=",".join(sorted(self._held_by)) or None,
            held=tuple(self._held),
        )

    def _keeper(self, own: Path | None) -> Keep:
        def keep(member: Member, chunks: Iterable[bytes]) -> None:
            if member.same_as is not None:
                self._add(replace(self._files[member.same_as], path=member.path))
                return
            blob = self._kept(member, chunks, own)
            self._add(StagedFile(member.path, blob.sha256, blob.size_bytes, member.executable))

        return keep

    def _kept(self, member: Member, chunks: Iterable[bytes], own: Path | None) -> Blob:
        file = own
        if self._kind.is_one_file:
            file = own or self._batch.new_file()
            chunks = self._growth.counted(file, member.size_bytes, chunks)
        if own is not None:
            return self._batch.adopt(own, chunks)
        return self._batch.keep(chunks, member.size_bytes, file)

    def _note(self, here: Here) -> None:
        self._held_by.add(here.known.by)
        self._verified_by = here.known.verified_by

    def _remember(self, found: SourceObject, sha256: str, size_bytes: int) -> None:
        if found.strong and found.version is not None:
            self._held.append(
                HeldObject(found.url, found.version, size_bytes, sha256, self._verified_by)
            )

    def _selected(self, member: str) -> str | None:
        wanted = self.plain or self._choice.takes(member)
        return self._kind.target(member, self._build) if wanted else None

    def _add(self, file: StagedFile) -> None:
        self._files[file.path] = file
        self._came_out.append(file)
        for path in self._kind.further_paths(file.path, self._build):
            # A path of its own wins over a further path of another file.
            self._files.setdefault(path, replace(file, path=path))


def _of_all(files: Sequence[StagedFile]) -> tuple[str, int]:
    if len(files) == 1:
        return files[0].sha256, files[0].size_bytes
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest(), sum(file.size_bytes for file in files)
