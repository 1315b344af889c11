"""What is in a store, as a reconcile would see it."""

from pathlib import Path
from urllib.parse import urlsplit

from staging_api.staging.reconcile import SHARDS
from staging_api.store.blobs import Blob, BlobStore
from staging_api.store.bucket import Bucket


def blobs_of(store: BlobStore) -> list[tuple[Blob, float]]:
    """Every blob, with the time of its last use."""
    return [found for shard in SHARDS for found in store.shard(shard)]


def kept_aside(url: str) -> set[str]:
    """The names of what was quarantined."""
    if url.startswith("s3:"):
        bucket = Bucket.parse(url)
        listed = bucket.connect(bucket.endpoint).list("quarantine")
        return {each["path"] for batch in listed for each in batch}
    folder = Path(urlsplit(url).path) / "quarantine"
    return {str(path) for path in folder.rglob("*") if path.is_file()}
