"""Open the store selected by the operator."""

from pathlib import Path

from staging_api.buckets import SERVICES
from staging_api.errors import Invalid
from staging_api.store.blob_store import BlobStore
from staging_api.store.folder_store import FolderStore

_BUCKETS = tuple(f"{scheme}://" for scheme in SERVICES)


def open_store(url: str, home: Path) -> BlobStore:
    """Return the store at a URL; empty: a folder in the service's home.

    Args:
        url: ``file:///path``, or a bucket: ``s3://bucket/prefix`` and the like (`SERVICES`).
        home: folder for files that are being fetched.

    Raises:
        Invalid: the URL is neither.
    """
    if not url:
        return FolderStore((home / "static").absolute())
    if url.startswith("file:///"):
        return FolderStore(Path(url.removeprefix("file://")))
    if url.startswith(_BUCKETS):
        from staging_api.store.bucket import Bucket
        from staging_api.store.bucket_store import BucketStore

        return BucketStore(Bucket.parse(url), (home / "spool").absolute())
    buckets = ", ".join(f"{scheme}bucket/prefix" for scheme in _BUCKETS)
    raise Invalid.field("STAGING_STORE", f"must be file:///folder, or one of {buckets}")
