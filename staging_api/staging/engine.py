"""Bring one artifact from its source into the store; this module does not use the database.

    source -> parts -> monitored and hashed -> extractor -> batch -> digest compared -> commit

Everything is verified before anything is committed, and the result of `fetch` is durable. What if
the process dies?

- While bytes arrive: ranges in the journal under ``parts/`` are not fetched again (`store.parts`).
- While the batch is written or committed: see `store.batch`. At whatever step, no row says
``staged`` yet, and the next attempt unpacks again from the parts, without the network.
- After `fetch` returned, before the row says ``staged``: the same, and the contents are found in
the store.
- After the row, before `forget`: the parts stay until they are swept for their age.
"""

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
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
    SourceFailed,
    StagingApiError,
)
from staging_api.formats.extractors import EXTRACTORS
from staging_api.formats.model import UnpackLimits
from staging_api.sources.model import Source, SourceObject, switch_decoding, warnings_of
from staging_api.staging.assembly import ArtifactAssembly
from staging_api.staging.cached_objects import KnownContent, SourceLookup, declared_content, look_up
from staging_api.staging.download import DownloadSpread
from staging_api.staging.fetched import FetchedArtifact, StagedFile
from staging_api.staging.object_reader import Progress, TransferMonitor
from staging_api.staging.taken import reserved_before, taken
from staging_api.staging.transfer import ReadObject, Transfer, bring, verified
from staging_api.staging.witnessed_source import InvalidSignature
from staging_api.staging.write_tracker import WriteTracker
from staging_api.store.batch import Batch
from staging_api.store.blob_store import BlobStore

log = logging.getLogger(__name__)

#: Errors of the objects of one choice, as opposed to errors of the source or the store.
_CHOICE_ERRORS = (ArchiveCorrupt, ArchiveUnsafe, ArtifactNotFound, LimitExceeded)

__all__ = ["FetchHooks", "FetchedArtifact", "StagedFile", "fetch", "forget"]


@dataclass(frozen=True)
class FetchHooks:
    """Callbacks of a fetch; an exception of `reserve`, `progress` or `check` ends the fetch.

    Attributes:
        content_of: returns the content of an object if it is known before a byte is read, so that
            content in the store is not fetched again.
        reserve: called with a number of bytes before they are written.
        progress: called after every chunk with the bytes done and the total (None: not known).
        check: called before every chunk.
        without: called with an object that exists and contains nothing of the artifact.
        tracker: follows the file of an artifact that consists of one file.
        checkpoint: called with the name of every finished step: a test can end the process there.
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

    If an artifact cannot be staged by one choice of the catalogue, the next choice whose objects
    exist is tried; the warnings of the result say so.

    Args:
        kind: the catalogue entry.
        source: the archive.
        build: the build's name, for patterns and paths.
        store: destination of the bytes.
        hooks: callbacks.
        owner: name of the temporary folder, for operators.
        names: the objects of the archive, if they are known already.
        limits: limits for unpacking.
        speed: when a download is spread over several connections.
        pack_below: members of fewer bytes go into a pack; 0: none does.

    Raises:
        ArtifactNotFound: the artifact is not in the archive.
        SourceFailed: the source did not deliver the bytes, or not those that it declared.
        ArchiveUnsafe: a member must not be unpacked.
        LimitExceeded: the artifact exceeds the limits.
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
        except _CHOICE_ERRORS as error:
            refusals.append(error)
            warnings.append(f"{', '.join(way.objects)} was not taken: {error.detail}")
            hooks.check()
        else:
            return replace(fetched, warnings=(*warnings, *fetched.warnings))
    if not refusals:
        absent = "; ".join([absent_object(kind, names, source.url), *warnings])
        refusals.append(ArtifactNotFound(absent))
    # Only absence makes an optional artifact missing; an object that exists and is corrupt fails
    # it.
    if kind.optional and all(isinstance(error, ArtifactNotFound) for error in refusals):
        return None
    # The error of the first choice, which the catalogue prefers.
    raise refusals[0]


def forget(fetched: FetchedArtifact, store: BlobStore) -> None:
    """Delete the parts of a fetch's downloads; call this once the row says ``staged``."""
    for key in fetched.parts:
        store.parts.forget(key)


@dataclass(frozen=True)
class _Attempt:
    """A fetch of one artifact by one choice, in either of two ways."""

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
        """Fetch the objects; if they are wrong, and a coding is declared, in the other form.

        A file that is compressed itself is not coded, whatever its server declares; the digest
        decides.
        """
        try:
            return self.agreed(objects, speed)
        except (ArchiveCorrupt, InvalidSignature) as error:
            declared = {name: switch_decoding(self.source, name) for name in objects}
            codings = {name: coding for name, coding in declared.items() if coding}
            if not codings:
                raise
            log.info("%s is read once more, in the other form: %s", self.kind.name, error.detail)
            self.hooks.check()
            try:
                return self.at_once(objects, proven=codings)
            except (SourceFailed, *_CHOICE_ERRORS) as second:
                if second.retryable:
                    raise
                error.detail += (
                    "; its server declares Content-Encoding:"
                    f" {', '.join(sorted(set(codings.values())))}, which was not requested, and no"
                    " digest or signature beside it fits the bytes in the other form"
                )
                error.args = (error.detail,)
                raise error from None

    def agreed(self, objects: Sequence[str], speed: DownloadSpread) -> FetchedArtifact:
        """Fetch the objects, even if two answers of their source differ."""
        try:
            return self.by_version(objects, speed)
        except SourceChanged as error:
            # The object changed, or its answers always differ (mirrors with versions of their own,
            # a time of change of now): then all facts are taken from one answer.
            log.info("%s is read at once: %s", self.kind.name, error.detail)
            self.hooks.check()
            return self.at_once(objects)

    def by_version(self, objects: Sequence[str], speed: DownloadSpread) -> FetchedArtifact:
        """Describe the objects first, then read those versions of them that are not cached."""
        hooks, store = self.hooks, self.store
        lookups = [look_up(self.source.stat(name), hooks.content_of, store) for name in objects]
        hooks.checkpoint("objects found")
        # Members may be read by ranges, and then not every byte is.
        is_verified_first = self.kind.verify is not None and not self.choice.is_plain
        if any(_is_unresumable(each, is_verified_first=is_verified_first) for each in lookups):
            return self.at_once(objects)
        # Where the directory of a zip is follows from the length.
        if self._is_by_ranges and any(_is_of_unknown_length(each) for each in lookups):
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
        # An object that is kept unchanged is stored once, so its bytes are reserved now. Unpacked
        # members need space in addition to the object.
        reserved = self.choice.is_plain and total is not None
        with store.batch(self.owner, reserved_before if reserved else hooks.reserve) as batch:
            assembly = self._assembly(batch)
            for lookup in lookups:
                with self._noted_if_empty(lookup.source_object):
                    bring(lookup, assembly, transfer, batch)
                hooks.checkpoint("object verified")
            self._commit(assembly, batch)
        return assembly.result(self.source.url, [lookup.source_object for lookup in lookups])

    def at_once(self, objects: Sequence[str], proven: Collection[str] = ()) -> FetchedArtifact:
        """Read each object by one request, and take all facts about it from that answer.

        The objects in `proven` need a digest or signature of their publisher.
        """
        hooks, is_plain = self.hooks, self.choice.is_plain
        monitor = TransferMonitor(hooks.progress, hooks.check, None)
        found: list[SourceObject] = []
        with self.store.batch(self.owner, reserved_before if is_plain else hooks.reserve) as batch:
            assembly = self._assembly(batch)
            for name in objects:
                file = batch.new_file()
                this, open_at, digests = taken(self.source, name, file, monitor, hooks.reserve)
                # Before any part of the object is unpacked.
                read = ReadObject(this, file, open_at, digests)
                this, reader = verified(self.source, read, monitor)
                if name in proven and this.witness is None:
                    raise ArchiveCorrupt(f"no digest of {name} says in which form it is right")
                own = file if is_plain else None
                with self._noted_if_empty(this):
                    assembly.unpack(SourceLookup(this), reader, own, self.limits)
                found.append(this)
                # The content of the object is in the batch now, unpacked or under another name:
                # free the space early.
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
    """Return whether an object is verified before unpacking, but has no version to resume."""
    found = lookup.source_object
    is_first = is_verified_first or bool(found.seals)
    return lookup.hit is None and found.version is None and is_first


def _is_of_unknown_length(lookup: SourceLookup) -> bool:
    return lookup.hit is None and lookup.source_object.size_bytes is None


def _total(lookups: Sequence[SourceLookup], *, by_ranges: bool) -> int | None:
    """Return the total of bytes, if the sources declare it and the objects are read whole."""
    missed = [lookup.source_object.size_bytes for lookup in lookups if lookup.hit is None]
    sizes = [size for size in missed if size is not None]
    return None if len(sizes) < len(missed) or by_ranges else sum(sizes)
