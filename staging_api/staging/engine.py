"""Bring one artifact from its source into the store; moves bytes, and knows no database.

    source.open -> counted, hashed -> extractor -> store.batch -> digest compared -> commit

Everything is checked before anything is committed, and what `fetch` returns is durable. What
happens if the process dies at a step is told in `staging_api.artifacts.store`: whatever step it
was, no row says ``staged`` yet, and the next attempt starts with what the store already has.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from staging_api.artifacts.model import ArtifactKind, Choice
from staging_api.artifacts.store import Batch, BlobStore
from staging_api.errors import ArchiveCorrupt, ArtifactNotFound
from staging_api.extractors.extracts import EXTRACTS
from staging_api.extractors.model import Limits, Member
from staging_api.sources.model import Source, SourceObject
from staging_api.sources.url import ArchiveUrl

#: How many bytes came, of how many (None: not known).
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class StagedFile:
    """One file that can be served: `path` is relative to the build's static folder."""

    path: str
    sha256: str
    size_bytes: int
    executable: bool = False


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
    """

    source_url: str
    source_version: str | None
    sha256: str
    size_bytes: int
    files: tuple[StagedFile, ...]


@dataclass(frozen=True)
class Fetching:
    """What the fetches of one staging share.

    Attributes:
        url: the archive.
        source: read access to it.
        store: where the bytes go.
        owner: names temporary folders, for operators.
        limits: how much may be unpacked.
        progress: is told after every piece; may raise.
        cancelled: is asked before every piece, and raises to end the fetch.
    """

    url: ArchiveUrl
    source: Source
    store: BlobStore
    owner: str = "staging"
    limits: Limits = field(default_factory=Limits)
    progress: Progress = lambda _done, _total: None
    cancelled: Callable[[], None] = lambda: None


def fetch(
    fetching: Fetching, kind: ArtifactKind, names: Sequence[str] | None = None
) -> Fetched | None:
    """Stage one artifact; None if it is optional and not there.

    Args:
        fetching: from where, to where.
        kind: what.
        names: the objects of the archive, if they are known already.

    Raises:
        ArtifactNotFound: it is not in the archive.
        SourceFailed: the source did not deliver, or not what it promised.
        ArchiveUnsafe: a member must not be unpacked.
        LimitExceeded: it is more than the limits allow.
        NoSpace: the store is full.
        Cancelled: by `fetching.cancelled`.
    """
    listed = fetching.source.names() if names is None else names
    choice, objects = kind.choose(listed, fetching.url.build)
    if not objects:
        if kind.optional:
            return None
        raise ArtifactNotFound(f"{kind.name} is not in {fetching.url.canonical}")
    found = [fetching.source.stat(name) for name in objects]
    with fetching.store.batch(fetching.owner) as batch:
        delivery = _Delivery(fetching, kind, batch, _total(found, choice))
        for each in found:
            delivery.take(each, choice)
        batch.commit()
    return delivery.result(found)


def _total(found: Sequence[SourceObject], choice: Choice) -> int | None:
    """How many bytes will come, if the sources say so; a zip is never read whole."""
    sizes = [each.size_bytes for each in found if each.size_bytes is not None]
    return None if len(sizes) < len(found) or choice.extract == "zip" else sum(sizes)


class _Delivery:
    """One artifact on its way: what came so far, and what became of it."""

    def __init__(
        self, fetching: Fetching, kind: ArtifactKind, batch: Batch, total: int | None
    ) -> None:
        self._fetching = fetching
        self._kind = kind
        self._batch = batch
        self._total = total
        self._done = 0
        self._files: dict[str, StagedFile] = {}
        self._whole: tuple[str, int] | None = None

    def take(self, found: SourceObject, choice: Choice) -> None:
        """Fetch one object, unpack it, and compare it with what its source says of it."""
        readable = _Tapped(self._fetching.source, found, self._tap)
        build = self._fetching.url.build

        def select(member: str) -> str | None:
            wanted = choice.extract == "plain" or choice.takes(member)
            return self._kind.target(member, build) if wanted else None

        before = len(self._files)
        EXTRACTS[choice.extract](readable, select, self._keep, self._fetching.limits)
        if len(self._files) == before:
            raise ArtifactNotFound(f"{found.name} has nothing of {self._kind.name}")
        self._whole = readable.check()

    def result(self, found: Sequence[SourceObject]) -> Fetched:
        """What it became, once all objects were taken."""
        files = tuple(file for _, file in sorted(self._files.items()))
        one = found[0] if len(found) == 1 else None
        digest, size = self._whole if one and self._whole else _of_all(files)
        return Fetched(
            source_url=one.url if one else self._fetching.url.canonical,
            source_version=one.version if one else None,
            sha256=digest,
            size_bytes=size,
            files=files,
        )

    def _keep(self, member: Member, chunks: Iterable[bytes]) -> None:
        if member.same_as is not None:
            first = self._files[member.same_as]
            self._add(StagedFile(member.path, first.sha256, first.size_bytes, first.executable))
            return
        blob = self._batch.keep(chunks, member.size_bytes)
        self._add(StagedFile(member.path, blob.sha256, blob.size_bytes, member.executable))

    def _add(self, file: StagedFile) -> None:
        paths = (file.path, *self._kind.further_paths(file.path, self._fetching.url.build))
        for path in paths:
            # A path of its own wins over a further path of another file.
            if path == file.path or path not in self._files:
                self._files[path] = StagedFile(path, file.sha256, file.size_bytes, file.executable)

    def _tap(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._fetching.cancelled()
            self._done += len(chunk)
            self._fetching.progress(self._done, self._total)
            yield chunk


class _Tapped:
    """An object of a source, hashed while it is read from front to end."""

    def __init__(
        self,
        source: Source,
        found: SourceObject,
        tap: Callable[[Iterator[bytes]], Iterator[bytes]],
    ) -> None:
        self._source = source
        self._found = found
        self._tap = tap
        self._hashes = {name: hashlib.new(name) for name in _asked_for(found)}
        self._hashed = 0
        self._ended = False

    @property
    def name(self) -> str:
        """The object's name in the archive."""
        return self._found.name

    @property
    def size_bytes(self) -> int | None:
        """The object's length, if its source says so."""
        return self._found.size_bytes

    @contextmanager
    def open(self, start: int = 0, end: int | None = None) -> Iterator[Iterator[bytes]]:
        """Stream a part; only a reading from the front to the end is hashed."""
        with self._source.open(self._found, start, end) as chunks:
            tapped = self._tap(chunks)
            yield self._hashing(tapped) if start == 0 and end is None else tapped

    def check(self) -> tuple[str, int] | None:
        """Compare digests; give sha256 and length of the object if all of it was read.

        Raises:
            ArchiveCorrupt: the object does not have a digest that its source told.
        """
        if not self._ended:
            return None
        told = self._found.digests
        for name, computed in self._hashes.items():
            if name in told and computed.hexdigest() != told[name]:
                raise ArchiveCorrupt(f"{self.name} does not have the {name} that its source told")
        return self._hashes["sha256"].hexdigest(), self._hashed

    def _hashing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            for each in self._hashes.values():
                each.update(chunk)
            self._hashed += len(chunk)
            yield chunk
        self._ended = True


def _asked_for(found: SourceObject) -> set[str]:
    """The digests to compute: sha256 always; md5, which is slow, only if nothing better is told."""
    return {"sha256", "md5"} if set(found.digests) == {"md5"} else {"sha256"}


def _of_all(files: Sequence[StagedFile]) -> tuple[str, int]:
    if len(files) == 1:
        return files[0].sha256, files[0].size_bytes
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest(), sum(file.size_bytes for file in files)
