"""One bucket of S3, or of what speaks its protocol: its address and its client."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from obstore.exceptions import BaseError
from obstore.store import S3Store

from staging_api.errors import Invalid, NotFound, StoreFailed
from staging_api.store.refusals import refusal

if TYPE_CHECKING:  # the library shows this class to type checkers only
    from obstore import ObjectMeta

#: Bytes of one read of an object.
READ_BYTES = 1 << 20
_CLIENT: Mapping[str, Any] = {
    "allow_http": True,  # only an endpoint that says http is reached so
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    # Over the whole of a request, its body included: a large blob is no error.
    "timeout": timedelta(hours=12),
    "user_agent": "staging-api",
}
#: Time-out of housekeeping requests: no client waits for them, so a slow one is retried later.
BRIEF_SECONDS = 4.0
_BRIEF: Mapping[str, Any] = {
    "read_timeout": timedelta(seconds=BRIEF_SECONDS),
    "timeout": timedelta(seconds=BRIEF_SECONDS),
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

    def connect(self, endpoint: str, *, brief: bool = False) -> S3Store:
        """A client of it, by one of its endpoints.

        Args:
            endpoint: of the service.
            brief: for requests that are better tried later than long.
        """
        where = {"endpoint": endpoint, "region": self.region}
        given: dict[str, Any] = {name: value for name, value in where.items() if value}
        client: Any = {**_CLIENT, **_BRIEF} if brief else _CLIENT
        retries: Any = {"max_retries": 0} if brief else _RETRIES
        with bucket_failures():
            return S3Store(
                self.name,
                prefix=self.prefix or None,
                client_options=client,
                retry_config=retries,
                **given,
            )


class BucketObjectReader(io.RawIOBase):
    """One object as a file: read on from wherever it was sought."""

    def __init__(self, objects: S3Store, found: "ObjectMeta") -> None:
        self._objects = objects
        self._found = found
        self._position = 0
        self._chunks: Iterator[Any] = iter(())
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Read on from another position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._found["size"]}
        position = base[whence] + offset
        if position != self._position:
            self._position, self._chunks, self._left = position, iter(()), memoryview(b"")
        return position

    def tell(self) -> int:
        """The position, in bytes."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or a part of it; 0: at the end."""
        if self._position >= self._found["size"]:
            return 0
        with bucket_failures():
            if not self._left:
                self._left = memoryview(next(self._chunks, b"") or self._first_chunk())
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        self._position += count
        return count

    def _first_chunk(self) -> bytes:
        """The first bytes from the position on; the ones behind them come from `_chunks`."""
        part = (self._position, self._found["size"])
        answer = self._objects.get(self._found["path"], options={"range": part})
        self._chunks = iter(answer.stream(min_chunk_size=READ_BYTES))
        first = bytes(next(self._chunks, b""))
        if not first:
            raise StoreFailed("the object store sent less than the object has")
        return first


@contextmanager
def bucket_failures() -> Iterator[None]:
    """Name a failure by its class: the library's text holds addresses, and signatures in them.

    Raises:
        NotFound: there is no such object.
        StoreFailed: the bucket refused, or did not answer; the subclass names the refusal.
    """
    try:
        yield
    except FileNotFoundError:
        raise NotFound("the object store has not got it") from None
    except BaseError as error:
        raise refusal(str(error), type(error).__name__) from None
