"""A bucket of an object store: its address and its client."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, urlsplit

from obstore.exceptions import BaseError

from staging_api import environment
from staging_api.buckets import SERVICES, BucketService
from staging_api.errors import Invalid, NotFound, StoreFailed
from staging_api.proxies import library_proxy
from staging_api.store.refusals import refusal

if TYPE_CHECKING:  # the library exports this class to type checkers only
    from obstore import ObjectMeta

    from staging_api.buckets import BucketClient

#: Number of bytes in one read of an object.
READ_BYTES = 1 << 20
_CLIENT: Mapping[str, Any] = {
    "allow_http": True,  # has an effect only if the endpoint says http
    "connect_timeout": timedelta(seconds=5),
    "read_timeout": timedelta(seconds=30),
    # Covers the whole request with its body: a large blob takes long.
    "timeout": timedelta(hours=12),
    "user_agent": "staging-api",
}
#: Timeout of housekeeping requests: no client waits for them, so slow ones are retried later.
BRIEF_SECONDS = 4.0
_BRIEF: Mapping[str, Any] = {
    "read_timeout": timedelta(seconds=BRIEF_SECONDS),
    "timeout": timedelta(seconds=BRIEF_SECONDS),
}
_RETRIES: Mapping[str, Any] = {"max_retries": 4, "retry_timeout": timedelta(seconds=30)}


@dataclass(frozen=True)
class Bucket:
    """Location of the blobs.

    Attributes:
        scheme: scheme of the service, one of `SERVICES`.
        where: options of that service, such as its `endpoint`.
        public_endpoint: endpoint for clients, for links; empty: the same endpoint.
        links: whether clients can reach the bucket at all.
    """

    scheme: str
    name: str
    prefix: str
    where: Mapping[str, str]
    public_endpoint: str
    links: bool

    @classmethod
    def parse(cls, url: str) -> "Bucket":
        """Parse ``s3://bucket/prefix?endpoint=...``, or the same form of another service.

        Raises:
            Invalid: the URL does not have this form.
        """
        try:
            parts = urlsplit(url)
        except ValueError:  # an unclosed bracket
            parts = urlsplit("")
        if parts.scheme not in SERVICES:
            raise Invalid.field("STAGING_STORE", f"must be a bucket of {', '.join(SERVICES)}")
        own = SERVICES[parts.scheme].options
        given = dict(parse_qsl(parts.query))
        where = {option: given.pop(option) for option in own if option in given}
        public, links = given.pop("public_endpoint", ""), given.pop("links", "yes")
        if given or not parts.netloc or "@" in parts.netloc or links not in ("yes", "no"):
            options = "&".join(f"{each}=..." for each in (*own, "public_endpoint"))
            form = f"{parts.scheme}://bucket/prefix?{options}&links=no, where all options"
            needs = f"{form} may be left out; credentials are found elsewhere"
            raise Invalid.field("STAGING_STORE", f"must be {needs}")
        missing = [each for each in SERVICES[parts.scheme].required if not where.get(each)]
        if missing:
            raise Invalid.field("STAGING_STORE", f"must have ?{missing[0]}=...")
        return cls(parts.scheme, parts.netloc, parts.path.strip("/"), where, public, links == "yes")

    @property
    def service(self) -> BucketService:
        """The capabilities of the service of this bucket."""
        return SERVICES[self.scheme]

    @property
    def address(self) -> str:
        """Address for unsigned requests; empty: only URLs signed by the library work."""
        address = self.service.address_of(self.where)
        return f"{address}/{quote(self.name)}" if address else ""

    def connect(self, *, public: bool = False, brief: bool = False) -> "BucketClient":
        """Return a client of the bucket.

        Args:
            public: use the endpoint for clients.
            brief: use short timeouts and no retries, for requests that can be repeated later.
        """
        where = dict(self.where)
        if public and self.public_endpoint:
            where["endpoint"] = self.public_endpoint
        proxy = library_proxy(self.scheme, where, environment.proxies())
        client: Any = {**_CLIENT, **proxy, **(_BRIEF if brief else {})}
        retries: Any = {"max_retries": 0} if brief else _RETRIES
        with bucket_failures():
            return self.service.connect(
                self.name,
                where,
                prefix=self.prefix or None,
                client_options=client,
                retry_config=retries,
            )


class BucketObjectReader(io.RawIOBase):
    """File interface to one object; reads continue from any position."""

    def __init__(self, objects: "BucketClient", found: "ObjectMeta") -> None:
        self._objects = objects
        self._found = found
        self._position = 0
        self._chunks: Iterator[Any] = iter(())
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Continue at another position."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._found["size"]}
        position = base[whence] + offset
        if position != self._position:
            self._position, self._chunks, self._left = position, iter(()), memoryview(b"")
        return position

    def tell(self) -> int:
        """Return the position, in bytes."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer, or a part of it; return 0 at the end."""
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
        """Return the first bytes at the position; the following ones come from `_chunks`."""
        part = (self._position, self._found["size"])
        answer = self._objects.get(self._found["path"], options={"range": part})
        self._chunks = iter(answer.stream(min_chunk_size=READ_BYTES))
        first = bytes(next(self._chunks, b""))
        if not first:
            raise StoreFailed("the object store sent less than the object has")
        return first


@contextmanager
def bucket_failures() -> Iterator[None]:
    """Translate failures by class: the library's text contains addresses, and signatures in them.

    Raises:
        NotFound: there is no such object.
        StoreFailed: the bucket refused, or did not respond; the subclass names the refusal.
    """
    try:
        yield
    except FileNotFoundError:
        raise NotFound("the object store has not got it") from None
    except BaseError as error:
        raise refusal(str(error), type(error).__name__) from None
