"""Bring one artifact from its source into the store; moves bytes, and knows no database.

    source -> parts -> watched and hashed -> extractor -> batch -> digest compared -> commit

Everything is checked before anything is committed, and what `fetch` returns is durable. What
happens if the process dies:

- while bytes come: what is noted under ``parts/`` is not fetched again (`artifacts.parts`);
- while the batch is written or committed: told in `artifacts.store`. Whatever step it was, no row
  says ``staged`` yet, and the next attempt unpacks anew from the parts, without the network;
- after `fetch` returned, before the row says ``staged``: the same, and the contents are found in
  the store;
- after the row, before `forget`: the parts wait to be swept by age.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from staging_api.artifacts.digest import Digests
from staging_api.artifacts.model import ArtifactKind, Choice
from staging_api.artifacts.store import Batch, Blob, BlobStore
from staging_api.errors import ArchiveCorrupt, ArtifactNotFound, SourceChanged
from staging_api.extractors.extracts import EXTRACTS
from staging_api.extractors.model import Limits, Member
from staging_api.sources.model import Source, SourceObject
from staging_api.staging.download import Download, Speed, key_of
from staging_api.staging.growth import Growth
from staging_api.staging.reading import Open, Progress, Reading, Tap

_LIMITS = Limits()
_SPEED = Speed()


@dataclass(frozen=True)
class StagedFile:
    """One file that can be served: `path` is relative to the build's static folder."""

    path: str
    sha256: str
    size_bytes: int
    executable: bool = False

    def row(self, prefix: str) -> dict[str, str | int | bool]:
        """Its columns in ``staged_files``; `prefix` is the build's folder below /static."""
        return {
            "path": f"{prefix}/{self.path}",
            "sha256": self.sha256,
            "size_bytes": self.size_bytes,
            "executable": self.executable,
        }


@dataclass(frozen=True)
class Fetched:
    """What one artifact became.

    Attributes:
        source_url: the object it came from; of several objects, the archive.
        source_version: the object's version; None if the source has none, or of several objects.
        sha256: of the object if all of it was read, else of the one file taken out of it; of
            several files, of their list: one line ``<digest>  <path>`` each, ordered by path.
        size_bytes: of what `sha256` is of; of several files, their sum.
        files: every file, ordered by path.
        parts: what `forget` removes once the row says ``staged``.
        verified_by: the digests that the source told of the one object, all found to be true.
    """

    source_url: str
    source_version: str | None
    sha256: str
    size_bytes: int
    files: tuple[StagedFile, ...]
    parts: tuple[str, ...] = ()
    verified_by: tuple[str, ...] = ()


def fetch(
    kind: ArtifactKind,
    source: Source,
    build: str,
    store: BlobStore,
    *,
    owner: str = "staging",
    names: Sequence[str] | None = None,
    limits: Limits = _LIMITS,
    speed: Speed = _SPEED,
    held: Callable[[SourceObject], str | None] = lambda found: found.digests.get("sha256"),
    room: Callable[[int], None] = lambda _count: None,
    progress: Progress = lambda _done, _total: None,
    check: Callable[[], None] = lambda: None,
    growth: Growth | None = None,
    checkpoint: Callable[[str], None] = lambda _name: None,
) -> Fetched | None:
    """Stage one artifact; None if it is optional and not there.

    Args:
        kind: what.
        source: from where.
        build: the build's name, for patterns and paths.
        store: where the bytes go.
        owner: names the temporary folder, for operators.
        names: the objects of the archive, if they are known already.
        limits: how much may be unpacked.
        speed: when a download is spread over several connections.
        held: the sha256 of an object, if it is known before a byte of it is read: what the store
            has under it is not fetched again.
        room: is told of bytes before they are written; what it raises ends the fetch.
        progress: is told after every piece: bytes done, bytes in all (None: not known).
        check: is asked before every piece; what it raises, or `progress`, ends the fetch.
        growth: is told where the file grows that the artifact becomes, if it becomes one.
        checkpoint: is told the name of every step that was done: where a test can pull the plug.

    Raises:
        ArtifactNotFound: it is not in the archive.
        SourceFailed: the source did not deliver, or not what it promised.
        ArchiveUnsafe: a member must not be unpacked.
        LimitExceeded: it is more than the limits allow.
        NoSpace: the store is full.
    """
    choice, objects = kind.choose(source.names() if names is None else names, build)
    if not objects:
        if kind.optional:
            return None
        raise ArtifactNotFound(f"{kind.name} is not in {source.url}")
    found = [source.stat(name) for name in objects]
    checkpoint("objects found")
    plain, total = choice.extract == "plain", _total(found, choice)
    tap = Tap(progress, check, total)
    terms = _Terms(source, store, tap, limits, speed, held, checkpoint)
    # What is kept as it is lies in the store once; of the rest, what is unpacked comes on top.
    room(total or 0)
    unpacked = _no_more if plain and total is not None else room
    with store.batch(owner, unpacked) as batch:
        delivery = _Delivery(kind, choice, build, batch, growth or Growth())
        for each in found:
            _bring(each, delivery, terms)
            checkpoint("object verified")
        # The last look before anything becomes visible: a fetch that was cancelled leaves nothing.
        check()
        batch.commit(checkpoint)
    return delivery.result(source.url, found)


def forget(fetched: Fetched, store: BlobStore) -> None:
    """Free what helped to fetch this: to be called once the row says ``staged``."""
    for key in fetched.parts:
        store.parts.forget(key)


def _no_more(_count: int) -> None:
    """Room was made for it already."""


def _total(found: Sequence[SourceObject], choice: Choice) -> int | None:
    """How many bytes will come, if the sources say so; a zip is never read whole."""
    sizes = [each.size_bytes for each in found if each.size_bytes is not None]
    return None if len(sizes) < len(found) or choice.extract == "zip" else sum(sizes)


@dataclass(frozen=True)
class _Terms:
    """What holds for every object of one fetch."""

    source: Source
    store: BlobStore
    tap: Tap
    limits: Limits
    speed: Speed
    held: Callable[[SourceObject], str | None]
    checkpoint: Callable[[str], None]


def _bring(found: SourceObject, delivery: "_Delivery", terms: _Terms) -> None:
    """Take one object into the delivery: from the store if it is there, else from its source."""
    known = terms.held(found) if delivery.plain else None
    blob = terms.store.find(known) if known else None
    if blob is not None:
        delivery.reuse(found, blob)
        terms.tap.count(blob.size_bytes)
        return
    with _opened(found, terms, whole=delivery.plain) as (open_at, own):
        # What is kept as it is has its sha256 computed by the store, and once is enough.
        digests = Digests(found.digests, sha256=not delivery.plain)
        delivery.take(Reading(found, open_at, terms.tap, digests), own, terms.limits)


@contextmanager
def _opened(
    found: SourceObject, terms: _Terms, *, whole: bool
) -> Iterator[tuple[Open, Path | None]]:
    """How to read an object, and the file that has all of it when it is read, if one has."""
    key = key_of(found)
    if key is None:
        yield partial(terms.source.open, found), None
        return
    try:
        with terms.store.parts.open(key, found.size_bytes or 0) as parts:
            download = Download(
                terms.source, found, parts, terms.speed, whole=whole, checkpoint=terms.checkpoint
            )
            yield download.open, parts.path if whole else None
    except (ArchiveCorrupt, SourceChanged):
        # Whatever was kept is of no use, or worse: the next attempt begins anew.
        terms.store.parts.forget(key)
        raise


class _Delivery:
    """One artifact on its way: the files that came out so far."""

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

    @property
    def plain(self) -> bool:
        """Whether objects are kept as they are."""
        return self._choice.extract == "plain"

    def take(self, reading: Reading, own: Path | None, limits: Limits) -> None:
        """Fetch one object, unpack it, and compare it with what its source says of it."""

        def keep(member: Member, chunks: Iterable[bytes]) -> None:
            if member.same_as is not None:
                self._add(replace(self._files[member.same_as], path=member.path))
                return
            blob = self._kept(member, chunks, own)
            self._add(StagedFile(member.path, blob.sha256, blob.size_bytes, member.executable))

        self._came_out.clear()
        EXTRACTS[self._choice.extract](reading, self._selected, keep, limits)
        if not self._came_out:
            raise ArtifactNotFound(f"{reading.name} has nothing of {self._kind.name}")
        self._whole = reading.verified(self._came_out[-1].sha256)

    def reuse(self, found: SourceObject, blob: Blob) -> None:
        """Take an object whose content the store has already."""
        self._batch.reuse(blob)
        path = self._kind.target(found.name, self._build)
        self._add(StagedFile(path, blob.sha256, blob.size_bytes))
        self._whole = blob.sha256, blob.size_bytes

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
            verified_by=tuple(sorted(one.digests)) if one and self._whole else (),
            parts=tuple(key for key in map(key_of, found) if key is not None),
        )

    def _kept(self, member: Member, chunks: Iterable[bytes], own: Path | None) -> Blob:
        file = own
        if self._kind.is_one_file:
            file = own or self._batch.new_file()
            self._growth.begin(file, member.size_bytes)
            chunks = self._growth.counted(chunks)
        if own is not None:
            return self._batch.adopt(own, chunks)
        return self._batch.keep(chunks, member.size_bytes, file)

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
