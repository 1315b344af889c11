"""Look up source objects in the store, so that known content is not downloaded again.

Two facts prove the content of an object. The source may declare its sha256: then any blob of that
digest is its content, wherever the blob came from. Or this version of the object (same URL; same
generation, version id or strong ETag) was read to its end before: then its content is the blob that
was stored. An MD5 or an ETag proves nothing beyond its own URL, and a modification time not even
there, so neither is used. An object that is cached as a whole also serves the files unpacked from
it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from staging_api.errors import NotFound, Unavailable
from staging_api.sources.model import CHUNK_BYTES, SourceObject
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import Blob


@dataclass(frozen=True)
class KnownContent:
    """The content of an object, as far as it is known before a byte is read.

    Attributes:
        sha256: digest of its whole content.
        proof: ``sha256`` if its source declares it, ``version`` if this version was read before.
        verified_by: the declared digest with which its content was compared, if any.
        size_bytes: its length, where the source does not declare it.
    """

    sha256: str
    proof: str
    verified_by: str | None = None
    size_bytes: int | None = None


def declared_content(source_object: SourceObject) -> KnownContent | None:
    """Return the content of an object by the sha256 that its source declares; None without one."""
    sha256 = source_object.digests.get("sha256")
    return KnownContent(sha256, "sha256", source_object.proof_by("sha256")) if sha256 else None


@dataclass(frozen=True)
class CacheHit:
    """The blob with the content of an object, and the proof of that content."""

    blob: Blob
    content: KnownContent


@dataclass(frozen=True)
class SourceLookup:
    """An object to stage, and the blob in the store that has its content, if there is one."""

    source_object: SourceObject
    hit: CacheHit | None = None


def look_up(
    source_object: SourceObject,
    content_of: Callable[[SourceObject], KnownContent | None],
    store: BlobStore,
) -> SourceLookup:
    """Look for an object's content in the store."""
    content = content_of(source_object)
    blob = store.find(content.sha256) if content else None
    if content is None or blob is None:
        return SourceLookup(source_object)
    # A blob of another length is not the content. If no length is declared, nothing confirms the
    # blob.
    declared = source_object.size_bytes
    expected = content.size_bytes if declared is None else declared
    if blob.size_bytes != expected or content.size_bytes not in (None, expected):
        return SourceLookup(source_object)
    return SourceLookup(source_object, CacheHit(blob, content))


@contextmanager
def open_cached(
    store: BlobStore, blob: Blob, start: int, end: int | None
) -> Iterator[Iterator[bytes]]:
    """Stream an object from the store, like its source.

    Raises:
        Unavailable: the blob was removed after the lookup.
    """
    with retry_if_removed(), store.open(blob.sha256, blob.size_bytes) as file:
        file.seek(start)
        yield _chunks(file, (blob.size_bytes if end is None else end) - start)


@contextmanager
def retry_if_removed() -> Iterator[None]:
    """Raise `Unavailable`, which a retry cures, if a blob found by a lookup was removed."""
    try:
        yield
    except NotFound:
        raise Unavailable(
            "a content was removed from the store while it was staged; it is fetched again",
            retry_after_seconds=1,
        ) from None


def _chunks(file: BinaryIO, left: int) -> Iterator[bytes]:
    while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk
