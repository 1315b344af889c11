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

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from staging_api.artifacts.digest import Digests
from staging_api.artifacts.model import ArtifactKind, Choice
from staging_api.artifacts.store import BlobStore
from staging_api.errors import ArchiveCorrupt, ArtifactNotFound, SourceChanged, StoreFailed
from staging_api.formats.extractors import EXTRACTORS
from staging_api.formats.model import Limits
from staging_api.sources.model import Source, SourceObject
from staging_api.staging.delivery import Delivery
from staging_api.staging.download import Download, Speed, key_of
from staging_api.staging.fetched import Fetched, StagedFile
from staging_api.staging.growth import Growth
from staging_api.staging.held import Known, Wanted, stored, told
from staging_api.staging.reading import Open, Progress, Reading, Tap

__all__ = ["Fetched", "StagedFile", "fetch", "forget"]

_LIMITS = Limits()
_SPEED = Speed()


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
    known: Callable[[SourceObject], Known | None] = told,
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
        known: tells of an object what is known before a byte of it is read: what the store has
            under its sha256 is not fetched again.
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
        StoreFailed: the store refuses, or bytes of an earlier attempt were damaged.
    """
    choice, objects = kind.choose(source.names() if names is None else names, build)
    if not objects:
        if kind.optional:
            return None
        raise ArtifactNotFound(f"{kind.name} is not in {source.url}")
    wanted = [Wanted.look(source.stat(name), known, store) for name in objects]
    checkpoint("objects found")
    plain, total = choice.is_plain, _total(wanted, choice)
    tap = Tap(progress, check, total)
    terms = _Terms(source, store, tap, limits, speed, checkpoint)
    # What is kept as it is lies in the store once; of the rest, what is unpacked comes on top.
    room(total or 0)
    unpacked = _no_more if plain and total is not None else room
    with store.batch(owner, unpacked) as batch:
        delivery = Delivery(kind, choice, build, batch, growth or Growth())
        for each in wanted:
            _bring(each, delivery, terms)
            checkpoint("object verified")
        # The last look before anything becomes visible: a fetch that was cancelled leaves nothing.
        check()
        batch.commit(checkpoint)
    return delivery.result(source.url, [each.found for each in wanted])


def forget(fetched: Fetched, store: BlobStore) -> None:
    """Free what helped to fetch this: to be called once the row says ``staged``."""
    for key in fetched.parts:
        store.parts.forget(key)


def _no_more(_count: int) -> None:
    """Room was made for it already."""


def _total(wanted: Sequence[Wanted], choice: Choice) -> int | None:
    """How many bytes will come, if the sources say so and the objects are read whole."""
    coming = [each.found.size_bytes for each in wanted if each.here is None]
    sizes = [size for size in coming if size is not None]
    by_ranges = EXTRACTORS[choice.extract].by_ranges
    return None if len(sizes) < len(coming) or by_ranges else sum(sizes)


@dataclass(frozen=True)
class _Terms:
    """What holds for every object of one fetch."""

    source: Source
    store: BlobStore
    tap: Tap
    limits: Limits
    speed: Speed
    checkpoint: Callable[[str], None]


def _bring(wanted: Wanted, delivery: Delivery, terms: _Terms) -> None:
    """Take one object into the delivery: from the store if it is there, else from its source."""
    found, limits = wanted.found, terms.limits
    if wanted.here is not None:
        if delivery.plain:
            delivery.reuse(found, wanted.here)
            return
        open_stored = partial(stored, terms.store, wanted.here.blob)
        reading = Reading(found, open_stored, terms.tap.silent(), Digests({}))
        delivery.take(wanted, reading, None, limits)
        return
    with _opened(found, terms, whole=delivery.plain) as (open_at, own):
        # What is kept as it is has its sha256 computed by the store, and once is enough.
        digests = Digests(found.digests, sha256=not delivery.plain)
        delivery.take(wanted, Reading(found, open_at, terms.tap, digests), own, limits)


@contextmanager
def _opened(
    found: SourceObject, terms: _Terms, *, whole: bool
) -> Iterator[tuple[Open, Path | None]]:
    """How to read an object, and the file that has all of it when it is read, if one has."""
    key = key_of(found)
    if key is None:
        yield partial(terms.source.open, found), None
        return
    resumed = False
    try:
        with terms.store.parts.open(key, found.size_bytes or 0) as parts:
            download = Download(
                terms.source, found, parts, terms.speed, whole=whole, checkpoint=terms.checkpoint
            )
            try:
                yield download.open, parts.path if whole else None
            finally:
                resumed = parts.resumed
    except (ArchiveCorrupt, SourceChanged) as error:
        # Whatever was kept is of no use, or worse: the next attempt begins anew.
        terms.store.parts.forget(key)
        if resumed and isinstance(error, ArchiveCorrupt):
            # Then it may be our disk that is wrong, and not the source.
            raise StoreFailed(
                f"{found.name} does not have its digest, with bytes of an earlier attempt in it;"
                " it is fetched anew",
                retry_after_seconds=1,
            ) from None
        raise
