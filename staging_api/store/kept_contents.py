"""Contents of small files that are read again and again, kept by their digests.

A digest names the same bytes for ever, so what is kept never becomes wrong. That a file has a
content, and may be served, the database says with each request; nothing here does. Bytes are hashed
before they are kept: what a disk has damaged is read, and met by the scrub, as without this.

A content that the disk has lost is served on by a process that keeps it: its bytes are right. Every
other process answers that it is lost, and notes it, as does the scrub.

Each process keeps its own, of those used last; if it dies, they are read again.
"""

import hashlib

from staging_api.bounded_cache import BoundedCache
from staging_api.store.blob_store import BlobStore
from staging_api.store.places import Place, read_at

_LARGEST_BYTES = 16 << 10
_MOST_CONTENTS, _MOST_BYTES = 4096, 8 << 20
_BYTES_BESIDE = 300  # of the objects round a content


class KeptContents:
    """The contents of one process."""

    def __init__(self, blobs: BlobStore) -> None:
        """Read from `blobs` what is not kept."""
        self._blobs = blobs
        self._kept: BoundedCache[str, bytes] = BoundedCache(_MOST_CONTENTS, _MOST_BYTES)

    def read(self, place: Place, sha256: str, start: int, length: int) -> bytes:
        """Return so many bytes of a file of this digest, from `start` of it.

        Raises:
            NotFound: its blob is not there, or not whole.
            StoreFailed: the store cannot say.
        """
        content = self._kept.get(sha256)
        if content is None:
            if place.size_bytes > _LARGEST_BYTES:
                offset = place.offset + start
                return self._blobs.read(place.sha256, place.blob_bytes, offset, length)
            content = read_at(self._blobs, place)
            if hashlib.sha256(content).hexdigest() == sha256:
                self._kept.put(sha256, content, len(content) + _BYTES_BESIDE)
        return content if length == len(content) else content[start : start + length]
