"""Bring one object of an artifact: from the store, or from its source.

An object that must be verified, and is not kept unchanged, is read whole into a file, compared with
its digest, and its signature is verified; only then are its members unpacked, from that file. Its
bytes are noted as they arrive (`store.parts`), so that the next attempt resumes from them, like any
other object.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from staging_api.errors import ArchiveCorrupt, SourceChanged, StoreFailed
from staging_api.formats.model import UnpackLimits
from staging_api.sources.model import Source, SourceObject
from staging_api.staging.assembly import ArtifactAssembly
from staging_api.staging.cached_objects import SourceLookup, open_cached
from staging_api.staging.download import Download, DownloadSpread, key_of
from staging_api.staging.object_reader import ObjectReader, Open, TransferMonitor
from staging_api.staging.taken import open_file, write_chunks
from staging_api.staging.witnessed_source import vouch
from staging_api.store.batch import Batch
from staging_api.store.blob_store import BlobStore
from staging_api.store.digest import Digests


@dataclass(frozen=True)
class Transfer:
    """The parameters that all objects of one fetch share.

    Attributes:
        verified_first: whether no part of an object may be unpacked before all of it was verified.
    """

    source: Source
    store: BlobStore
    monitor: TransferMonitor
    limits: UnpackLimits
    speed: DownloadSpread
    verified_first: bool
    checkpoint: Callable[[str], None]


@dataclass(frozen=True)
class ReadObject:
    """An object that was read whole.

    Attributes:
        file: contains all of its bytes.
        open_at: opens a range of the bytes.
        digests: digests of the bytes.
    """

    found: SourceObject
    file: Path
    open_at: Open
    digests: Digests


def verified(
    source: Source, read: ReadObject, monitor: TransferMonitor
) -> tuple[SourceObject, ObjectReader]:
    """Compare an object with its digest, and verify its signature if it needs one.

    Returns:
        The object, with its witness, and its reader.

    Raises:
        ArchiveCorrupt: the object does not have its declared digest.
        SourceUnverified: none of its signatures is good.
    """

    def reader(found: SourceObject) -> ObjectReader:
        quiet = monitor.without_progress()
        return ObjectReader(found, read.open_at, quiet, read.digests, read_before=True)

    sha256 = read.digests.sha256("")
    reader(read.found).verified(sha256)
    found = vouch(source, read.found, read.file, sha256)
    if found is not read.found:
        read.digests.compare_sha256(found.digests)
    return found, reader(found)


def bring(
    lookup: SourceLookup, assembly: ArtifactAssembly, transfer: Transfer, batch: Batch
) -> None:
    """Add one object to the assembly: from the store on a cache hit, else from its source."""
    source_object, limits = lookup.source_object, transfer.limits
    if lookup.hit is not None:
        if assembly.plain:
            assembly.reuse(source_object, lookup.hit)
            return
        open_blob = partial(open_cached, transfer.store, lookup.hit.blob)
        monitor = transfer.monitor.without_progress()
        # The source may not declare the length, and a zip is read from its end.
        known = replace(source_object, size_bytes=lookup.hit.blob.size_bytes)
        reader = ObjectReader(known, open_blob, monitor, Digests({}))
        assembly.unpack(lookup, reader, None, limits)
        return
    is_first = transfer.verified_first or bool(source_object.seals)
    with _opened(source_object, transfer, whole=assembly.plain or is_first) as (open_at, own):
        # The store computes the sha256 of an object that is kept unchanged; once is enough.
        digests = Digests(source_object.digests, sha256=is_first or not assembly.plain)
        reader = ObjectReader(source_object, open_at, transfer.monitor, digests)
        if not is_first:
            assembly.unpack(lookup, reader, own, limits)
            return
        file = own or batch.new_file()
        _read_into(reader, file, is_written=own is not None)
        opened = partial(open_file, file, digests.size_bytes)
        read = ReadObject(source_object, file, opened, digests)
        found, reader = verified(transfer.source, read, transfer.monitor)
        assembly.unpack(SourceLookup(found), reader, file if assembly.plain else None, limits)
        if own is None:
            file.unlink()


def _read_into(reader: ObjectReader, file: Path, *, is_written: bool) -> None:
    """Read all of an object into a file, unless its bytes are written there as they arrive."""
    with reader.open() as chunks:
        if not is_written:
            write_chunks(chunks, file)
            return
        for _ in chunks:
            continue


@contextmanager
def _opened(
    source_object: SourceObject, transfer: Transfer, *, whole: bool
) -> Iterator[tuple[Open, Path | None]]:
    """Yield a function that opens the object, and the file with all of its bytes, if any."""
    key = key_of(source_object)
    if key is None:
        yield partial(transfer.source.open, source_object), None
        return
    resumed = False
    try:
        with transfer.store.parts.open(key, source_object.size_bytes or 0) as parts:
            download = Download(
                transfer.source,
                source_object,
                parts,
                transfer.speed,
                whole=whole,
                checkpoint=transfer.checkpoint,
            )
            try:
                yield download.open, parts.path if whole else None
            finally:
                resumed = parts.resumed
    except (ArchiveCorrupt, SourceChanged) as error:
        # The parts are useless, or wrong: the next attempt starts again.
        transfer.store.parts.forget(key)
        if resumed and isinstance(error, ArchiveCorrupt):
            # With bytes of an earlier attempt, the local disk may be the cause, and not the source.
            raise StoreFailed(
                f"{source_object.name} does not have its digest, with bytes of an earlier attempt"
                " in it; it is fetched anew",
                retry_after_seconds=1,
            ) from None
        raise
