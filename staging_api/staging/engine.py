"""Bring one artifact from its source into the store; moves bytes, and knows no database.

    source.open -> counted, hashed -> extractor -> store.batch -> digest compared -> commit

Everything is checked before anything is committed, and what `fetch` returns is durable. What
happens if the process dies at a step is told in `staging_api.artifacts.store`: whatever step it
was, no row says ``staged`` yet, and the next attempt starts with what the store already has.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from staging_api.artifacts.model import ArtifactKind, Choice
from staging_api.artifacts.store import Batch, BlobStore
from staging_api.errors import ArchiveCorrupt, ArtifactNotFound
from staging_api.extractors.extracts import EXTRACTS
from staging_api.extractors.model import Limits, Member
from staging_api.sources.model import Source, SourceObject

#: How many bytes came, of how many (None: not known).
Progress = Callable[[int, int | None], None]

_LIMITS = Limits()


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
    """

    source_url: str
    source_version: str | None
    sha256: str
    size_bytes: int
    files: tuple[StagedFile, ...]


def fetch(
    kind: ArtifactKind,
    source: Source,
    build: str,
    store: BlobStore,
    *,
    owner: str = "staging",
    names: Sequence[str] | None = None,
    limits: Limits = _LIMITS,
    progress: Progress = lambda _done, _total: None,
    check: Callable[[], None] = lambda: None,
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
        progress: is told after every piece: bytes done, bytes in all (None: not known).
        check: is asked before every piece; what it raises, or `progress`, ends the fetch.

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
    tap = _Tap(progress, check, _total(found, choice))
    with store.batch(owner) as batch:
        delivery = _Delivery(kind, build, batch)
        for each in found:
            delivery.take(_Tapped(source, each, tap, choice), choice, limits)
        check()
        batch.commit()
    return delivery.result(source.url, found)


def _total(found: Sequence[SourceObject], choice: Choice) -> int | None:
    """How many bytes will come, if the sources say so; a zip is never read whole."""
    sizes = [each.size_bytes for each in found if each.size_bytes is not None]
    return None if len(sizes) < len(found) or choice.extract == "zip" else sum(sizes)


@dataclass
class _Tap:
    """Every piece that comes passes here: the place to stop, and to tell how far it is."""

    progress: Progress
    check: Callable[[], None]
    total: int | None
    done: int = 0

    def passing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self.check()
            self.done += len(chunk)
            self.progress(self.done, self.total)
            yield chunk


class _Delivery:
    """One artifact on its way: the files that came out so far."""

    def __init__(self, kind: ArtifactKind, build: str, batch: Batch) -> None:
        self._kind = kind
        self._build = build
        self._batch = batch
        self._files: dict[str, StagedFile] = {}
        self._came_out: list[StagedFile] = []
        self._whole: tuple[str, int] | None = None

    def take(self, readable: "_Tapped", choice: Choice, limits: Limits) -> None:
        """Fetch one object, unpack it, and compare it with what its source says of it."""

        def select(member: str) -> str | None:
            wanted = choice.extract == "plain" or choice.takes(member)
            return self._kind.target(member, self._build) if wanted else None

        self._came_out.clear()
        EXTRACTS[choice.extract](readable, select, self._keep, limits)
        if not self._came_out:
            raise ArtifactNotFound(f"{readable.name} has nothing of {self._kind.name}")
        self._whole = readable.verified(self._came_out[-1].sha256)

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
        )

    def _keep(self, member: Member, chunks: Iterable[bytes]) -> None:
        if member.same_as is not None:
            first = self._files[member.same_as]
            self._add(replace(first, path=member.path))
            return
        blob = self._batch.keep(chunks, member.size_bytes)
        self._add(StagedFile(member.path, blob.sha256, blob.size_bytes, member.executable))

    def _add(self, file: StagedFile) -> None:
        self._files[file.path] = file
        self._came_out.append(file)
        for path in self._kind.further_paths(file.path, self._build):
            # A path of its own wins over a further path of another file.
            self._files.setdefault(path, replace(file, path=path))


class _Tapped:
    """An object of a source, hashed while it is read from front to end."""

    def __init__(self, source: Source, found: SourceObject, tap: _Tap, choice: Choice) -> None:
        self._source = source
        self._found = found
        self._tap = tap
        # What is kept as it is has its sha256 computed by the store, and once is enough.
        self._kept_as_it_is = choice.extract == "plain"
        self._hashes = {name: hashlib.new(name) for name in self._asked_for()}
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
            tapped = self._tap.passing(chunks)
            yield self._hashing(tapped) if start == 0 and end is None else tapped

    def verified(self, kept_sha256: str) -> tuple[str, int] | None:
        """Compare digests; give sha256 and length of the object if all of it was read.

        Args:
            kept_sha256: of the file that it became, if it was kept as it is.

        Raises:
            ArchiveCorrupt: the object does not have a digest that its source told.
        """
        if not self._ended:
            return None
        computed = {name: each.hexdigest() for name, each in self._hashes.items()}
        computed.setdefault("sha256", kept_sha256)
        for name, told in self._found.digests.items():
            if computed.get(name, told) != told:
                raise ArchiveCorrupt(f"{self.name} does not have the {name} that its source told")
        return computed["sha256"], self._hashed

    def _asked_for(self) -> list[str]:
        """The digests to compute: md5, which is slow, only if nothing better is told."""
        own = [] if self._kept_as_it_is else ["sha256"]
        return [*own, "md5"] if set(self._found.digests) == {"md5"} else own

    def _hashing(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            for each in self._hashes.values():
                each.update(chunk)
            self._hashed += len(chunk)
            yield chunk
        self._ended = True


def _of_all(files: Sequence[StagedFile]) -> tuple[str, int]:
    if len(files) == 1:
        return files[0].sha256, files[0].size_bytes
    lines = "".join(f"{file.sha256}  {file.path}\n" for file in files)
    return hashlib.sha256(lines.encode()).hexdigest(), sum(file.size_bytes for file in files)
