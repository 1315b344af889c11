"""What need not be fetched, because its content is in the store already.

Two things prove it. The source may say the sha256 of an object: then any blob of that digest is its
content, wherever it came from. Or the very version of the object (same URL; same generation,
version id or strong ETag) was read to its end before: then it is the blob that it became. An MD5 or
an ETag proves nothing beyond its own URL, and a time of change not even there: neither is asked.
An object that is here as a whole serves whatever is unpacked from it, too.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from staging_api.artifacts.store import Blob, BlobStore
from staging_api.errors import NotFound, Unavailable
from staging_api.sources.model import CHUNK_BYTES, SourceObject


@dataclass(frozen=True)
class Known:
    """What is known of an object before a byte of it is read.

    Attributes:
        sha256: of its whole content.
        by: how: ``sha256`` if its source says so, ``version`` if it was read before.
        verified_by: the digest of the source that its content was compared with, if any.
        size_bytes: its length, where the source does not say it.
    """

    sha256: str
    by: str
    verified_by: str | None = None
    size_bytes: int | None = None


def told(found: SourceObject) -> Known | None:
    """What the source itself says of an object's content, if it says its sha256."""
    sha256 = found.digests.get("sha256")
    return Known(sha256, "sha256", "sha256") if sha256 else None


@dataclass(frozen=True)
class Here:
    """The blob that has the content of an object, and how that is known."""

    blob: Blob
    known: Known


@dataclass(frozen=True)
class Wanted:
    """An object that is wanted, and what the store has of it."""

    found: SourceObject
    here: Here | None = None

    @classmethod
    def look(
        cls,
        found: SourceObject,
        known: Callable[[SourceObject], Known | None],
        store: BlobStore,
    ) -> "Wanted":
        """Look whether it is here."""
        already = known(found)
        blob = store.find(already.sha256) if already else None
        if already is None or blob is None:
            return cls(found)
        # A blob of another length, or of which nobody knows the length, proves nothing.
        expected = already.size_bytes if found.size_bytes is None else found.size_bytes
        if blob.size_bytes != expected or already.size_bytes not in (None, expected):
            return cls(found)
        return cls(found, Here(blob, already))


@contextmanager
def stored(
    store: BlobStore, blob: Blob, start: int = 0, end: int | None = None
) -> Iterator[Iterator[bytes]]:
    """Stream an object out of the store, as its source would.

    Raises:
        Unavailable: it was removed since it was found there.
    """
    with still_there(), store.open(blob.sha256, blob.size_bytes) as file:
        file.seek(start)
        yield _pieces(file, (blob.size_bytes if end is None else end) - start)


@contextmanager
def still_there() -> Iterator[None]:
    """Let whoever finds a blob gone come again: then it is fetched."""
    try:
        yield
    except NotFound:
        raise Unavailable(
            "a content was removed from the store while it was staged; it is fetched again",
            retry_after_seconds=1,
        ) from None


def _pieces(file: BinaryIO, left: int) -> Iterator[bytes]:
    while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk
