"""Cache of the contents of small, frequently read files, by digest.

A digest always names the same bytes, so cached contents are always valid. Whether a file exists
with this content, and may be served, is read from the database for each request, not from this
cache. Bytes are hashed before they are cached: damaged bytes are served and found by the scrub, as
without a cache.

If the disk loses a content, a process that has it in its cache continues to serve it: its bytes are
right. All other processes respond that it is lost, and record that, as does the scrub.

Each process has its own cache of recently used contents; if the process dies, they are read again.
"""

import hashlib

from staging_api.bounded_cache import BoundedCache
from staging_api.store.blob_store import BlobStore
from staging_api.store.places import Place, read_at

_LARGEST_BYTES = 16 << 10
_MOST_CONTENTS, _MOST_BYTES = 4096, 8 << 20
_BYTES_BESIDE = 300  # memory of the objects around a content


class KeptContents:
    """The content cache of one process."""

    def __init__(self, blobs: BlobStore) -> None:
        """Create an empty cache in front of `blobs`."""
        self._blobs = blobs
        self._kept: BoundedCache[str, bytes] = BoundedCache(_MOST_CONTENTS, _MOST_BYTES)

    def read(self, place: Place, sha256: str, start: int, length: int) -> bytes:
        """Return `length` bytes of the file with this digest, from its offset `start`.

        Raises:
            NotFound: its blob does not exist, or is truncated.
            StoreFailed: the store cannot be read.
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
