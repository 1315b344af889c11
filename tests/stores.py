"""What is in a store, as a reconcile would see it."""

from staging_api.artifacts.store import Blob, BlobStore
from staging_api.staging.reconcile import SHARDS


def blobs_of(store: BlobStore) -> list[tuple[Blob, float]]:
    """Every blob, with the time of its last use."""
    return [found for shard in SHARDS for found in store.shard(shard)]
