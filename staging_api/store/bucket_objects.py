"""The objects of one bucket by their keys, with the requests that the library does not make.

Failures are those of our errors. Some requests are made by URLs that the library signs: the date of
an answer, which it does not show, and the deletion of one object, for which it sends the request
for many, that not every service has.
"""

import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
import urllib3
from obstore.exceptions import AlreadyExistsError, PreconditionError

from staging_api import clock
from staging_api.errors import NotFound, StoreDenied, StoreFailed
from staging_api.store.blobs import MARKER, key_of
from staging_api.store.bucket import (
    BRIEF_SECONDS,
    READ_BYTES,
    Bucket,
    BucketObjectReader,
    bucket_failures,
)
from staging_api.store.refusals import refusal

if TYPE_CHECKING:  # the library shows these to type checkers only
    from obstore import ObjectMeta, PutMode, UpdateVersion

log = logging.getLogger(__name__)

#: How long a link holds: less than what was read is safe from eviction (`StoreTerms`).
LINK_LIFE = timedelta(minutes=4)
#: How far the clocks of bucket and pod may differ while links are given out, and how long what was
#: found out about that is believed.
_DIFFERENCE_SECONDS = 30.0
_COMPARED_SECONDS = 600.0
#: Of requests that the library does not make, by URLs that it signs.
_REQUEST_LIFE = timedelta(minutes=1)
_REQUEST_SECONDS = BRIEF_SECONDS
_http = urllib3.PoolManager(maxsize=16)
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4


class BucketObjects:
    """Objects of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._client = bucket.connect(bucket.endpoint)
        # A removal must succeed or fail within the time of its claim.
        self._brief = bucket.connect(bucket.endpoint, brief=True)
        self._public = bucket.connect(bucket.public_endpoint or bucket.endpoint)
        self._ahead_of_us = 0.0
        self._compared_at = float("-inf")

    def check(self) -> None:
        """Make sure that the bucket is there and lets us in."""
        with bucket_failures():
            # Nothing lies below a blob, so this lists nothing, however much there is.
            list(self._client.list(key_of("0" * 64)))

    def listed(self, prefix: str, chunk_size: int = 50) -> Iterator["ObjectMeta"]:
        """The objects whose keys begin with these segments."""
        with bucket_failures():
            for batch in self._client.list(prefix, chunk_size=chunk_size):
                yield from batch

    def head(self, key: str, *, brief: bool = False) -> "ObjectMeta | None":
        """One object; None: it is not there.

        Args:
            key: of the object.
            brief: whether the answer is of no use after `BRIEF_SECONDS`.
        """
        objects = self._brief if brief else self._client
        try:
            with bucket_failures():
                return objects.head(key)
        except NotFound:
            return None
        except StoreDenied:
            # An answer to HEAD has no body, and so no reason: the same refusal by GET has one.
            with bucket_failures():
                objects.get_range(key, start=0, end=1)
            raise

    def open(self, found: "ObjectMeta") -> BinaryIO:
        """Open an object for reading; bytes come as they are read."""
        return io.BufferedReader(BucketObjectReader(self._client, found), READ_BYTES)

    def upload(self, key: str, file: Path) -> None:
        """Make an object of a file, in several parts at once if it is long."""
        try:
            with bucket_failures():
                self._client.put(key, file, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        except NotFound:
            raise StoreFailed("the bucket of the store is not there") from None

    def copy(self, key: str, aside: str) -> "ObjectMeta":
        """Copy an object; where the service cannot, as with more than 5 GiB, give the object."""
        try:
            with bucket_failures():
                self._client.copy(key, aside)
                return self._client.head(aside)
        except StoreFailed as error:
            log.warning("%s cannot be kept aside: %s", key, error.detail)
            with bucket_failures():
                return self._client.head(key)

    def delete(self, key: str) -> None:
        """Delete one object by a request that every service has; the library only sends the other.

        A failure that passes is left to the caller, who comes back.
        """
        with bucket_failures():
            url = obstore.sign(self._client, "DELETE", key, _REQUEST_LIFE)
        answer = _request("DELETE", url)
        if answer.status not in (200, 202, 204, 404):
            raise refusal(f"status code: {answer.status} {answer.data[:1000].decode('latin-1')}")

    def delete_all(self, keys: Sequence[str]) -> None:
        """Delete objects by one request, which not every service has."""
        with bucket_failures():
            self._brief.delete(keys)

    def marker(self) -> "tuple[bytes, UpdateVersion] | None":
        """The marker, whatever it says, and the version to replace; None: there is none."""
        try:
            with bucket_failures():
                found = self._client.get(MARKER)
                return bytes(found.bytes()), {"e_tag": found.meta["e_tag"]}
        except NotFound:
            self.check()  # a bucket that is not there is none without a marker
            return None

    def put_marker(self, content: bytes, mode: "PutMode") -> None:
        """Put the marker, unless another process was faster."""
        with bucket_failures(), suppress(AlreadyExistsError, PreconditionError):
            self._client.put(MARKER, content, mode=mode, use_multipart=False)

    def link(self, key: str) -> str | None:
        """Return a URL by which any client can read the object for `LINK_LIFE`.

        None: the clocks of this process and the bucket differ, see `BucketStore.link`.
        """
        if self._differs_in_time():
            return None
        with bucket_failures():
            return obstore.sign(self._public, "GET", key, LINK_LIFE)

    def time(self) -> float:
        """The time by the clock that dates objects: the bucket's, as its answers have it.

        A service whose answers have no date leaves this pod's own clock.
        """
        with bucket_failures():
            url = obstore.sign(self._client, "HEAD", MARKER, _REQUEST_LIFE)
        # A refusal is dated, too.
        date = _request("HEAD", url).headers.get("Date", "")
        try:
            return parsedate_to_datetime(date).timestamp()
        except ValueError:
            return time.time()

    def _differs_in_time(self) -> bool:
        """Whether the clock of this process is not that of the bucket.

        Compared every `_COMPARED_SECONDS`, by a monotonic clock; a jump is noticed at once.
        """
        if clock.now() - self._compared_at > _COMPARED_SECONDS:
            self._ahead_of_us, self._compared_at = self.time() - clock.now(), clock.now()
        differ = self._ahead_of_us + clock.now() - time.time()
        if abs(differ) > _DIFFERENCE_SECONDS:
            log.warning("no links: the clock of the bucket is %.0f s ahead of ours", differ)
        return abs(differ) > _DIFFERENCE_SECONDS


def _request(method: str, url: str) -> urllib3.BaseHTTPResponse:
    """The answer of the bucket to a request that is signed by its URL.

    Raises:
        StoreFailed: there was none.
    """
    try:
        return _http.request(method, url, retries=False, timeout=_REQUEST_SECONDS)
    except urllib3.exceptions.HTTPError as error:
        raise StoreFailed(
            f"the object store did not answer ({type(error).__name__})", retry_after_seconds=10
        ) from None
