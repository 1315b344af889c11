"""Contents of a store, as a reconcile would find them."""

from pathlib import Path
from urllib.parse import urlsplit

import obstore

from staging_api.staging.reconcile import SHARDS
from staging_api.store.blob_store import BlobStore
from staging_api.store.blobs import MARKER, Blob
from staging_api.store.bucket import Bucket


def blobs_of(store: BlobStore) -> list[tuple[Blob, float]]:
    """Return every blob, with the time of its last use."""
    return [found for shard in SHARDS for found in store.shard(shard)]


def kept_aside(url: str) -> set[str]:
    """Return the names of the quarantined contents."""
    if not url.startswith("file:"):
        bucket = Bucket.parse(url)
        listed = bucket.connect().list("quarantine")
        return {each["path"] for batch in listed for each in batch}
    folder = Path(urlsplit(url).path) / "quarantine"
    return {str(path) for path in folder.rglob("*") if path.is_file()}


def put_marker(url: str, content: bytes | None) -> None:
    """Write the marker behind the service's back; None removes it."""
    if not url.startswith("file:"):
        bucket = Bucket.parse(url)
        objects = bucket.connect()
        if content is None:
            obstore.delete(objects, MARKER)
        else:
            obstore.put(objects, MARKER, content, use_multipart=False)
        return
    marker = Path(url.removeprefix("file://")) / MARKER
    marker.unlink(missing_ok=True)
    marker.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        marker.write_bytes(content)
