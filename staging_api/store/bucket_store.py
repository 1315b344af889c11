"""Store in a bucket of S3, Google, Azure or a compatible server: ``<prefix>/sha256/ab/abcd...``.

Bytes are first written to a spool on the pod's own disk, because their name is known only at their
end, and then uploaded; an object appears completely or not at all, and is durable when it appears.
At S3 every request is signed over its body, so the bytes that arrive are those that were hashed;
elsewhere TLS protects them. Credentials are found along the platform's usual chain.

What happens if the process dies:

- while a batch writes, or before its upload: the spool is left, and swept once it is old. The parts
  of an object that was being fetched are on this pod only, so another pod fetches it from the
  start.
- during an upload: this blob does not appear; an incomplete multipart upload is removed by the
  bucket's own rule (``AbortIncompleteMultipartUpload``), at Azure after a week.
- after some blobs were uploaded: no row names them yet. They are complete; the next attempt finds
  and reuses them, or a reconcile removes them.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from secrets import token_hex
from typing import TYPE_CHECKING, BinaryIO, TypeVar

from staging_api.errors import NotFound, StagingApiError
from staging_api.store.batch import Batch
from staging_api.store.blobs import (
    KEPT_ASIDE_SECONDS,
    Blob,
    Checkpoint,
    Reserve,
    identity_in,
    is_digest,
    key_of,
    no_limit,
)
from staging_api.store.bucket import READ_BYTES, Bucket
from staging_api.store.bucket_objects import BucketObjects
from staging_api.store.parts import PartStore
from staging_api.store.spool import Spool, SweepResult

if TYPE_CHECKING:  # the library exports these to type checkers only
    from obstore import ObjectMeta, PutMode

log = logging.getLogger(__name__)
T = TypeVar("T")
R = TypeVar("R")

_REQUESTS_AT_ONCE = 16


class BucketStore:
    """Blobs in a bucket; files to be uploaded are in a folder of this pod."""

    # About fifty blobs are removed, sixteen at a time, within `BRIEF_SECONDS` each.
    removal_seconds = 30.0
    disk_of = "spool"

    def __init__(self, bucket: Bucket, spool: Path) -> None:
        self._objects = BucketObjects(bucket)
        self._spool = Spool(spool)

    @property
    def parts(self) -> PartStore:
        """Received parts of unfinished objects, on this machine."""
        return self._spool.parts

    def check(self) -> None:
        """Check that the bucket exists and grants access, and that the spool can be written."""
        self._spool.check()
        self._objects.check()

    def free_bytes(self) -> int:
        """Return the free space of the spool; a bucket has no limit."""
        return self._spool.free_bytes()

    def capacity_bytes(self) -> int:
        """Return the size of the spool's disk."""
        return self._spool.capacity_bytes()

    def identity(self) -> str | None:
        """Return the ULID in the marker; None: there is none, or it is damaged."""
        marker = self._objects.marker()
        return None if marker is None else identity_in(marker[0])

    def identify(self, identity: str, *, replace: bool = False) -> None:
        """Write the marker; the first process replaces a damaged one."""
        mode: PutMode = "overwrite" if replace else "create"
        found = None if replace else self._objects.marker()
        if found is not None:
            content, mode = found
            if identity_in(content) is not None:
                return
        self._objects.put_marker(f"{identity}\n".encode(), mode)

    def is_empty(self) -> bool:
        """Return whether no blob is listed."""
        return next(self._objects.listed("sha256", chunk_size=1), None) is None

    def has(self, sha256: str, size_bytes: int | None = None) -> bool:
        """Return whether the blob exists, with this length if one is given."""
        found = self._objects.head(key_of(sha256))
        return found is not None and size_bytes in (None, found["size"])

    def lacks(self, contents: Mapping[str, int]) -> set[str]:
        """Return those of these contents that do not exist with this length."""
        there = _at_once(lambda content: self.has(*content), contents.items())
        return {sha256 for (sha256, _), found in there if not found}

    def find(self, sha256: str) -> Blob | None:
        """Return the blob with this digest, or None."""
        found = self._objects.head(key_of(sha256))
        return None if found is None else Blob(sha256, found["size"])

    def open(self, sha256: str, size_bytes: int | None = None) -> BinaryIO:
        """Open the blob for reading; bytes are fetched as they are read."""
        found = self._found(sha256, size_bytes)
        return self._objects.open(found)

    def read(self, sha256: str, size_bytes: int, start: int, length: int) -> bytes:
        """Read a range of the object by one request, whose response has the object's length."""
        return self._objects.read(key_of(sha256), size_bytes, start, length)

    def place(self, sha256: str, file: Path, size_bytes: int | None = None) -> None:
        """Fetch the blob."""
        with self.open(sha256, size_bytes) as stream, file.open("xb") as copy:
            while chunk := stream.read(READ_BYTES):
                copy.write(chunk)

    def link(self, sha256: str, size_bytes: int) -> str | None:
        """Return a URL for any client to read the blob for `LINK_LIFE`.

        Each call checks the object: a client without the digest would not notice that it is missing
        or truncated. The validity of a link begins at the time of this process: if its clock or the
        bucket's is wrong, there is no link, because it would expire at once or outlive the
        protection of the blob.
        """
        self._found(sha256, size_bytes)
        return self._objects.link(key_of(sha256))

    def name_of(self, growing: Path) -> str:
        """Return its name in the spool, which other pods cannot use."""
        return growing.name

    def growing(self, name: str) -> None:
        """Return None: no other pod can read the spool of this one."""

    def remove(self, sha256: str) -> None:
        """Remove the blob; links to it stop working."""
        self._objects.delete(key_of(sha256))

    def remove_all(self, digests: Collection[str]) -> dict[str, StagingApiError]:
        """Remove these blobs by one request, or one by one if the service has no such request."""
        try:
            self._objects.delete_all([key_of(sha256) for sha256 in digests])
        except StagingApiError as error:
            log.info("the bucket did not delete %d at once: %s", len(digests), error.detail)
        else:
            return {}
        done = _at_once(self._failure, digests)
        return {sha256: error for sha256, error in done if error is not None}

    def quarantine(self, sha256: str, differs: Callable[[BinaryIO], bool]) -> bool:
        """Copy the object to quarantine; delete the original if the content of the copy differs."""
        key, aside = key_of(sha256), f"quarantine/{int(time.time())}-{token_hex(4)}/{sha256}"
        before = self._objects.head(key_of(sha256))
        try:
            copied = self._objects.copy(key, aside)
        except NotFound:
            return False
        with ExitStack() as undo:
            if copied["path"] == aside:
                undo.callback(self._objects.delete, aside)
            with self._objects.open(copied) as stream:
                bad = differs(stream)
            # The object may have been replaced by new bytes meanwhile: these stay.
            if bad and _state(before) == _state(self._objects.head(key_of(sha256))):
                # Keep the copy even if it is unknown whether the object was deleted.
                undo.pop_all()
                self._objects.delete(key)
                return True
        return False

    def shard(self, shard: str) -> Iterator[tuple[Blob, float]]:
        """Yield the blobs whose digests begin with these two digits, with their upload times."""
        for found in self._objects.listed(f"sha256/{shard}"):
            folder, _, name = found["path"].rpartition("/")
            if folder == f"sha256/{shard}" and is_digest(name, shard):
                yield Blob(name, found["size"]), found["last_modified"].timestamp()

    def last_use(self, sha256: str) -> float | None:
        """Return when the blob was uploaded, by the bucket's clock; later uses leave no trace."""
        found = self._objects.head(key_of(sha256), brief=True)
        return None if found is None else found["last_modified"].timestamp()

    def used_since(self, digests: Collection[str], since: float) -> set[str]:
        """Return those of these blobs that were uploaded after `since`."""
        found = _at_once(self.last_use, digests)
        return {sha256 for sha256, used in found if used is not None and used > since}

    @contextmanager
    def batch(self, owner: str, reserve: Reserve = no_limit) -> Iterator[Batch]:
        """Open a folder of the spool to write to."""
        with self._spool.folder(owner) as folder, closing(Batch(self, folder, reserve)) as batch:
            yield batch

    def time(self) -> float:
        """Return the time of the bucket's clock, which dates its objects, from its responses.

        If the service's responses have no date, this pod's own clock is used.
        """
        return self._objects.time()

    def sweep(self, older_than_seconds: float) -> SweepResult:
        """Remove the spool's files of dead processes, and objects quarantined over a month ago."""
        horizon = self.time() - max(older_than_seconds, KEPT_ASIDE_SECONDS)
        removed, failed = 0, []
        for found in list(self._objects.listed("quarantine")):
            if found["last_modified"].timestamp() >= horizon:
                continue
            try:
                self._objects.delete(found["path"])
                removed += 1
            except StagingApiError as error:
                log.warning("%s cannot be removed: %s", found["path"], error.detail)
                failed.append(found["path"])
        swept = self._spool.sweep(self._spool.time() - older_than_seconds)
        return swept + SweepResult(removed, tuple(failed))

    def mark_used(self, blob: Blob) -> bool:
        """Return whether the blob exists with this length.

        Objects cannot be marked. If the blob is removed before a row names it, the writer of that
        row notices, and stages it again (`store_rows.name_blobs`).
        """
        return self.has(blob.sha256, blob.size_bytes)

    def take(self, files: Mapping[Blob, str], checkpoint: Checkpoint) -> None:
        """Upload these files, several in parallel."""

        def upload(blob: Blob) -> None:
            if self.mark_used(blob):
                return
            self._objects.upload(key_of(blob.sha256), Path(files[blob]))
            checkpoint("blob named")

        _at_once(upload, files)
        checkpoint("names synced")

    def _failure(self, sha256: str) -> StagingApiError | None:
        try:
            self.remove(sha256)
        except StagingApiError as error:
            return error
        return None

    def _found(self, sha256: str, size_bytes: int | None = None) -> "ObjectMeta":
        found = self._objects.head(key_of(sha256))
        if found is None:
            raise NotFound(f"the store has no blob {sha256}")
        if size_bytes not in (None, found["size"]):
            raise NotFound(f"the store has no whole blob {sha256}")
        return found


def _state(found: "ObjectMeta | None") -> tuple[object, ...] | None:
    """Return a value that changes when an object is replaced; None: there is no object."""
    return None if found is None else (found["e_tag"], found["last_modified"], found["size"])


def _at_once(ask: Callable[[T], R], given: Iterable[T]) -> list[tuple[T, R]]:
    """Call a function for each item, several in parallel; the first failure is raised."""
    items = list(given)
    with ThreadPoolExecutor(_REQUESTS_AT_ONCE, "bucket") as threads:
        return list(zip(items, threads.map(ask, items), strict=True))
