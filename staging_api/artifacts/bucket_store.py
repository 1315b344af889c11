"""A store in a bucket of S3, or of what speaks its protocol: ``<prefix>/sha256/ab/abcd...``.

Bytes are first written to a spool on the pod's own disk, since only their end tells their name, and
then uploaded; an object appears whole or not at all, and is durable when it does. Every request is
signed over its body, so what arrives is what was hashed. Credentials are found along the platform's
usual chain.

What happens if the process dies:

- while a batch writes, or before its upload: the spool is left, and swept by age. The parts of an
  object that was on its way are this pod's own, so another pod fetches it anew.
- during an upload: of this blob nothing appears; an upload in several parts that was not completed
  is removed by the bucket's own rule (``AbortIncompleteMultipartUpload``).
- after some blobs were uploaded: no row mentions them yet. They are whole; the next attempt finds
  and reuses them, or a reconcile removes them.
"""

import io
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import parse_qsl, urlsplit

import obstore
from obstore.exceptions import BaseError
from obstore.store import S3Store

from staging_api.artifacts.parts import PartStore
from staging_api.artifacts.spool import Spool
from staging_api.artifacts.store import Batch, Blob, Checkpoint, Room, key_of, no_limit
from staging_api.errors import Invalid, NotFound, StoreFailed

if TYPE_CHECKING:  # the library shows this class to type checkers only
    from obstore import ObjectMeta

#: How long a link holds: no longer than what was read is safe from eviction (`StoreTerms`).
LINK_LIFE = timedelta(minutes=5)
_REQUESTS_AT_ONCE = 16
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4
_READ_BYTES = 1 << 20
_CLIENT: Mapping[str, Any] = {
    "allow_http": True,  # only an endpoint that says http is reached so
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    # Over the whole of a request, its body included: a large blob is no error.
    "timeout": timedelta(hours=12),
    "user_agent": "staging-api",
}
_RETRIES: Mapping[str, Any] = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}


@dataclass(frozen=True)
class Bucket:
    """Where the blobs are.

    Attributes:
        endpoint: of the service; empty: Amazon's.
        public_endpoint: where clients reach it, for links; empty: the same.
        region: empty: as the environment says.
    """

    name: str
    prefix: str = ""
    endpoint: str = ""
    public_endpoint: str = ""
    region: str = ""

    @classmethod
    def parse(cls, url: str) -> "Bucket":
        """Read ``s3://bucket/prefix?endpoint=...&public_endpoint=...&region=...``.

        Raises:
            Invalid: it is not of this form.
        """
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query))
        unknown = options.keys() - {"endpoint", "public_endpoint", "region"}
        if unknown or not parts.netloc or parts.scheme != "s3" or "@" in parts.netloc:
            form = "s3://bucket/prefix?endpoint=...&public_endpoint=...&region=..."
            raise Invalid.field("STAGING_STORE", f"must be {form}; credentials are found elsewhere")
        return cls(parts.netloc, parts.path.strip("/"), **options)

    def connect(self, endpoint: str) -> S3Store:
        """A client of it, by one of its endpoints."""
        where = {"endpoint": endpoint, "region": self.region}
        given: dict[str, Any] = {name: value for name, value in where.items() if value}
        client: Any = _CLIENT
        retries: Any = _RETRIES
        with _told():
            return S3Store(
                self.name,
                prefix=self.prefix or None,
                client_options=client,
                retry_config=retries,
                **given,
            )


class BucketStore:
    """Blobs in a bucket; what is on its way there, in a folder of this pod."""

    def __init__(self, bucket: Bucket, spool: Path) -> None:
        self._objects = bucket.connect(bucket.endpoint)
        self._public = bucket.connect(bucket.public_endpoint or bucket.endpoint)
        self._spool = Spool(spool)

    @property
    def parts(self) -> PartStore:
        """What has arrived here of objects that are on their way."""
        return self._spool.parts

    def check(self) -> None:
        """Make sure that the bucket is there and lets us in, and that the spool can be written."""
        self._spool.check()
        with _told():
            # Nothing lies below a blob, so this lists nothing, however much there is.
            list(self._objects.list(key_of("0" * 64)))

    def free_bytes(self) -> int:
        """Room in the spool; a bucket has no end."""
        return self._spool.free_bytes()

    def has(self, sha256: str) -> bool:
        """Whether the blob is here, whole."""
        return self._head(sha256) is not None

    def lacks(self, digests: Collection[str]) -> set[str]:
        """Those of these blobs that are not here; several are asked for at once."""
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE, "head") as threads:
            there = threads.map(self.has, digests)
            return {sha256 for sha256, found in zip(digests, there, strict=True) if not found}

    def find(self, sha256: str) -> Blob | None:
        """The blob of this digest, if it is here."""
        found = self._head(sha256)
        return None if found is None else Blob(sha256, found["size"])

    def open(self, sha256: str) -> BinaryIO:
        """Open the blob for reading; bytes come as they are read."""
        return io.BufferedReader(_Reading(self._objects, self._found(sha256)), _READ_BYTES)

    def place(self, sha256: str, file: Path) -> None:
        """Fetch the blob."""
        with self.open(sha256) as stream, file.open("xb") as copy:
            while chunk := stream.read(_READ_BYTES):
                copy.write(chunk)

    def link(self, sha256: str) -> str:
        """A URL by which anybody can read the blob for `LINK_LIFE`."""
        with _told():
            return obstore.sign(self._public, "GET", key_of(sha256), LINK_LIFE)

    def name_of(self, growing: Path) -> str:
        """Its name in the spool, which says nothing to others."""
        return growing.name

    def growing(self, name: str) -> None:
        """The spool is one pod's own: nobody else can follow what is written there."""

    def remove(self, sha256: str) -> None:
        """Free the blob; a link to it leads nowhere from now on."""
        key = key_of(sha256)
        with suppress(NotFound), _told():
            self._objects.delete(key)

    def shard(self, shard: str) -> Iterator[tuple[Blob, float]]:
        """The blobs whose digests begin with these two digits, with the times of their upload."""
        with _told():
            for batch in self._objects.list(f"sha256/{shard}"):
                for found in batch:
                    name = found["path"].rpartition("/")[2]
                    yield Blob(name, found["size"]), found["last_modified"].timestamp()

    def last_use(self, sha256: str) -> float | None:
        """When the blob was uploaded, by the clock of the bucket; a use of it leaves no trace."""
        found = self._head(sha256)
        return None if found is None else found["last_modified"].timestamp()

    @contextmanager
    def batch(self, owner: str, room: Room = no_limit) -> Iterator[Batch]:
        """Open a folder of the spool to write to."""
        with self._spool.folder(owner) as folder:
            yield Batch(self, folder, room)

    def sweep(self, older_than_seconds: float) -> int:
        """Remove what dead processes of this pod left in the spool."""
        return self._spool.sweep(older_than_seconds)

    def mark_used(self, sha256: str) -> bool:
        """Whether the blob is here.

        Nothing can be marked. Should it be removed before a row names it, whoever writes that row
        finds it gone, and stages it again (`repository.name_blobs`).
        """
        return self.has(sha256)

    def take(self, files: Mapping[str, str], checkpoint: Checkpoint) -> None:
        """Upload these files, several at once."""

        def upload(sha256: str) -> None:
            if self.mark_used(sha256):
                return
            try:
                with _told():
                    self._objects.put(
                        key_of(sha256),
                        Path(files[sha256]),
                        chunk_size=_PART_BYTES,
                        max_concurrency=_PARTS_AT_ONCE,
                    )
            except NotFound:
                raise StoreFailed("the bucket of the store is not there") from None
            checkpoint("blob named")

        with ThreadPoolExecutor(_REQUESTS_AT_ONCE, "upload") as threads:
            # Their results are asked for, so that a failure is one.
            list(threads.map(upload, files))
        checkpoint("names synced")

    def _head(self, sha256: str) -> "ObjectMeta | None":
        key = key_of(sha256)
        try:
            with _told():
                return self._objects.head(key)
        except NotFound:
            return None

    def _found(self, sha256: str) -> "ObjectMeta":
        found = self._head(sha256)
        if found is None:
            raise NotFound(f"the store has no blob {sha256}")
        return found


class _Reading(io.RawIOBase):
    """One blob as a file: read on from wherever it was sought."""

    def __init__(self, objects: S3Store, found: "ObjectMeta") -> None:
        self._objects = objects
        self._found = found
        self._position = 0
        self._chunks: Iterator[Any] = iter(())
        self._left = memoryview(b"")

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._found["size"]}
        position = base[whence] + offset
        if position != self._position:
            self._position, self._chunks, self._left = position, iter(()), memoryview(b"")
        return position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        if self._position >= self._found["size"]:
            return 0
        with _told():
            if not self._left:
                self._left = memoryview(next(self._chunks, b"") or self._asked_for())
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        self._position += count
        return count

    def _asked_for(self) -> bytes:
        """The first bytes from the position on; the ones behind them come from `_chunks`."""
        part = (self._position, self._found["size"])
        answer = self._objects.get(self._found["path"], options={"range": part})
        self._chunks = iter(answer.stream(min_chunk_size=_READ_BYTES))
        return bytes(next(self._chunks, b""))


@contextmanager
def _told() -> Iterator[None]:
    """Tell a failure by its class: the library's text holds addresses, and signatures in them."""
    try:
        yield
    except FileNotFoundError:
        raise NotFound("the object store has not got it") from None
    except BaseError as error:
        raise StoreFailed(f"the object store did not answer ({type(error).__name__})") from None
