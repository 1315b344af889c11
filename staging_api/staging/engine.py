"""Bring one artifact from its source into the store; moves bytes, and knows no database.

    source -> parts -> monitored and hashed -> extractor -> batch -> digest compared -> commit

Everything is checked before anything is committed, and what `fetch` returns is durable. What
happens if the process dies:

- while bytes come: what the journal under ``parts/`` has is not fetched again (`store.parts`);
- while the batch is written or committed: see `store.batch`. Whatever step it was, no row
  says ``staged`` yet, and the next attempt unpacks anew from the parts, without the network;
- after `fetch` returned, before the row says ``staged``: the same, and the contents are found in
  the store;
- after the row, before `forget`: the parts wait to be swept by age.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from staging_api.catalogue.absence import absent_object
from staging_api.catalogue.model import ArtifactKind, Choice
from staging_api.errors import (
    ArchiveCorrupt,
    ArchiveUnsafe,
    ArtifactNotFound,
    LimitExceeded,
    SourceChanged,
    StagingApiError,
)
from staging_api.formats.extractors import EXTRACTORS
from staging_api.formats.model import UnpackLimits
from staging_api.sources.model import Source, SourceObject, warnings_of
from staging_api.staging.assembly import ArtifactAssembly
from staging_api.staging.cached_objects import KnownContent, SourceLookup, declared_content, look_up
from staging_api.staging.download import DownloadSpread
from staging_api.staging.fetched import FetchedArtifact, StagedFile
from staging_api.staging.object_reader import Progress, TransferMonitor
from staging_api.staging.taken import reserved_before, taken
from staging_api.staging.transfer import ReadObject, Transfer, bring, verified
from staging_api.staging.write_tracker import WriteTracker
from staging_api.store.batch import Batch
from staging_api.store.blob_store import BlobStore

log = logging.getLogger(__name__)

#: What is wrong with the objects of one choice, and not with the source or the store.
_NOT_TAKEN = (ArchiveCorrupt, ArchiveUnsafe, ArtifactNotFound, LimitExceeded)

__all__ = ["FetchHooks", "FetchedArtifact", "StagedFile", "fetch", "forget"]


@dataclass(frozen=True)
class FetchHooks:
    """What a fetch calls while it works; an exception of `reserve`, `progress` or `check` ends it.

    Attributes:
        content_of: returns the content of an object if it is known before a byte is read, so
            that content in the store is not fetched again.
        reserve: called with a number of bytes before they are written.
        progress: called after every chunk: bytes done, bytes in all (None: not known).
        check: called before every chunk.
        without: called with an object that is there and has nothing of the artifact.
        tracker: follows the file that the artifact becomes, if it becomes one.
        checkpoint: called with the name of every step that was done: where a test can pull the
            plug.
    """

    content_of: Callable[[SourceObject], KnownContent | None] = declared_content
    reserve: Callable[[int], None] = lambda _count: None
    progress: Progress = lambda _done, _total: None
    check: Callable[[], None] = lambda: None
    without: Callable[[SourceObject], None] = lambda _object: None
    tracker: WriteTracker = field(default_factory=WriteTracker)
    checkpoint: Callable[[str], None] = lambda _name: None


def fetch(
    kind: ArtifactKind,
    source: Source,
    build: str,
    store: BlobStore,
    hooks: FetchHooks | None = None,
    *,
    owner: str = "staging",
    names: Sequence[str] | None = None,
    limits: UnpackLimits = UnpackLimits(),  # noqa: B008 - frozen
    speed: DownloadSpread = DownloadSpread(),  # noqa: B008 - frozen
    pack_below: int = 0,
) -> FetchedArtifact | None:
    """Bring one artifact into the store; None if it is optional and not in the archive.

    What cannot be taken by one choice of the catalogue is taken by the next one that has its
    objects there; the warnings of the result say so.

    Args:
        kind: the catalogue entry.
        source: the archive.
        build: the build's name, for patterns and paths.
        store: where the bytes go.
        hooks: what to call meanwhile.
        owner: names the temporary folder, for operators.
        names: the objects of the archive, if they are known already.
        limits: of what may be unpacked.
        speed: when a download is spread over several connections.
        pack_below: members of fewer bytes go into a pack; 0: none does.

    Raises:
        ArtifactNotFound: it is not in the archive.
        SourceFailed: the source did not deliver, or not what it declared.
        ArchiveUnsafe: a member must not be unpacked.
        LimitExceeded: it is more than the limits allow.
        NoSpace: the store is full.
        StoreFailed: the store refuses, or bytes of an earlier attempt were damaged.
    """
    names = source.names() if names is None else names
    hooks, refusals = hooks or FetchHooks(), list[StagingApiError]()
    limits = replace(limits, **dict[str, Any](kind.limits))
    warnings = list(warnings_of(names))
    for way in kind.ways(names, build):
        attempt = _Attempt(kind, way.choice, source, build, store, hooks, owner, limits, pack_below)
        warnings += [f"{name} fits as well, and was not taken" for name in way.passed_over]
        try:
            fetched = attempt.bring(way.objects, speed)
        except _NOT_TAKEN as error:
            refusals.append(error)
            warnings.append(f"{', '.join(way.objects)} was not taken: {error.detail}")
            hooks.check()
        else:
            return replace(fetched, warnings=(*warnings, *fetched.warnings))
    if not refusals:
        absent = "; ".join([absent_object(kind, names, source.url), *warnings])
        refusals.append(ArtifactNotFound(absent))
    # Only absence makes an optional artifact missing; an object that is there and corrupt fails it.
    if kind.optional and all(isinstance(error, ArtifactNotFound) for error in refusals):
        return None
    # The refusal of the first choice, which the catalogue prefers.
    raise refusals[0]


def forget(fetched: FetchedArtifact, store: BlobStore) -> None:
    """Delete the parts of a fetch's downloads; call it once the row says ``staged``."""
    for key in fetched.parts:
        store.parts.forget(key)


@dataclass(frozen=True)
class _Attempt:
    """One artifact to bring, by either of two ways."""

    kind: ArtifactKind
    choice: Choice
    source: Source
    build: str
    store: BlobStore
    hooks: FetchHooks
    owner: str
    limits: UnpackLimits
    pack_below: int

    def bring(self, objects: Sequence[str], speed: DownloadSpread) -> FetchedArtifact:
        """Bring the objects, whether or not their source says twice the same of them."""
        try:
            return self.by_version(objects, speed)
        except SourceChanged as error:
            # Changed, or never twice the same (mirrors with versions of their own, a time of change
            # of now): then one answer is the whole truth about it.
            log.info("%s is read at once: %s", self.kind.name, error.detail)
            self.hooks.check()
            return self.at_once(objects)

    def by_version(self, objects: Sequence[str], speed: DownloadSpread) -> FetchedArtifact:
        """Describe the objects first, then read those versions of them that are not known yet."""
        hooks, store = self.hooks, self.store
        lookups = [look_up(self.source.stat(name), hooks.content_of, store) for name in objects]
        hooks.checkpoint("objects found")
        # Members may be read by ranges, and not every byte with them.
        is_verified_first = self.kind.verify is not None and not self.choice.is_plain
        if any(_is_unresumable(each, is_verified_first=is_verified_first) for each in lookups):
            return self.at_once(objects)
        total = _total(lookups, by_ranges=self._is_by_ranges and not is_verified_first)
        monitor = TransferMonitor(hooks.progress, hooks.check, total)
        transfer = Transfer(
            self.source,
            store,
            monitor,
            self.limits,
            speed,
            verified_first=is_verified_first,
            checkpoint=hooks.checkpoint,
        )
        hooks.reserve(total or 0)
        # An object that is kept as it is lies in the store once, so its bytes are reserved now.
        # What is unpacked comes on top of the object.
        reserved = self.choice.is_plain and total is not None
        with store.batch(self.owner, reserved_before if reserved else hooks.reserve) as batch:
            assembly = self._assembly(batch)
            for lookup in lookups:
                with self._noted_if_empty(lookup.source_object):
                    bring(lookup, assembly, transfer, batch)
                hooks.checkpoint("object verified")
            self._commit(assembly, batch)
        return assembly.result(self.source.url, [lookup.source_object for lookup in lookups])

    def at_once(self, objects: Sequence[str]) -> FetchedArtifact:
        """Read each object by one request, and believe what that answer says of it."""
        hooks, is_plain = self.hooks, self.choice.is_plain
        monitor = TransferMonitor(hooks.progress, hooks.check, None)
        found: list[SourceObject] = []
        with self.store.batch(self.owner, reserved_before if is_plain else hooks.reserve) as batch:
            assembly = self._assembly(batch)
            for name in objects:
                file = batch.new_file()
                this, open_at, digests = taken(self.source, name, file, monitor, hooks.reserve)
                # Before anything of it is unpacked.
                read = ReadObject(this, file, open_at, digests)
                this, reader = verified(self.source, read, monitor)
                own = file if is_plain else None
                with self._noted_if_empty(this):
                    assembly.unpack(SourceLookup(this), reader, own, self.limits)
                found.append(this)
                # Its content is in the batch now, unpacked or under another name: free the space
                # early.
                file.unlink()
                hooks.checkpoint("object verified")
            self._commit(assembly, batch)
        return assembly.result(self.source.url, found)

    @contextmanager
    def _noted_if_empty(self, source_object: SourceObject) -> Iterator[None]:
        try:
            yield
        except ArtifactNotFound:
            self.hooks.without(source_object)
            raise

    def _assembly(self, batch: Batch) -> ArtifactAssembly:
        facts = (self.kind, self.choice, self.build, batch, self.hooks.tracker)
        return ArtifactAssembly(*facts, pack_below=self.pack_below)

    @property
    def _is_by_ranges(self) -> bool:
        return EXTRACTORS[self.choice.extract].by_ranges

    def _commit(self, assembly: ArtifactAssembly, batch: Batch) -> None:
        assembly.seal()
        # The last check before anything becomes visible: a cancelled fetch leaves nothing.
        self.hooks.check()
        batch.commit(self.hooks.checkpoint)


def _is_unresumable(lookup: SourceLookup, *, is_verified_first: bool) -> bool:
    """Whether an object without a version is read whole first: then it can be read anew."""
    found = lookup.source_object
    is_first = is_verified_first or bool(found.seals)
    return lookup.hit is None and found.version is None and is_first


def _total(lookups: Sequence[SourceLookup], *, by_ranges: bool) -> int | None:
    """Return how many bytes come, if the sources declare it and the objects are read whole."""
    missed = [lookup.source_object.size_bytes for lookup in lookups if lookup.hit is None]
    sizes = [size for size in missed if size is not None]
    return None if len(sizes) < len(missed) or by_ranges else sum(sizes)
