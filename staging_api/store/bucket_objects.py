"""The objects of one bucket by their keys, including requests that the library does not support.

Failures are translated to errors of the service. Two requests are made here: one for the date of a
response, which the library does not expose; and the deletion of one object by a URL that the
library signs, because the library would send a request for many, which not every server of that
service supports.
"""

import io
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import obstore
import urllib3
from obstore.exceptions import AlreadyExistsError, PreconditionError

from staging_api import clock, environment
from staging_api.errors import NotFound, StagingApiError, StoreDenied, StoreFailed
from staging_api.proxies import pools_by, proxy_to
from staging_api.store.blobs import MARKER, key_of
from staging_api.store.bucket import (
    BRIEF_SECONDS,
    READ_BYTES,
    Bucket,
    BucketObjectReader,
    bucket_failures,
)
from staging_api.store.refusals import refusal

if TYPE_CHECKING:  # the library exports these to type checkers only
    from obstore import ObjectMeta, PutMode, UpdateVersion

log = logging.getLogger(__name__)

#: Validity of a link: shorter than the time for which a read protects a blob from eviction
#: (`StoreTerms`).
LINK_LIFE = timedelta(minutes=4)
#: How long to cache the difference to the bucket's clock, or that a credential cannot sign links.
_COMPARED_SECONDS = 600.0
#: Validity of signed URLs for requests that the library does not support.
_REQUEST_LIFE = timedelta(minutes=1)
_REQUEST_SECONDS = BRIEF_SECONDS
_PART_BYTES = 8 << 20
_PARTS_AT_ONCE = 4


class BucketObjects:
    """Objects of one bucket."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._client = bucket.connect()
        # A removal must succeed or fail within the time of its claim.
        self._brief = bucket.connect(brief=True)
        self._public = bucket.connect(public=True)
        self._ahead_of_us = 0.0
        self._compared_at = float("-inf")
        self._unsigned_until = float("-inf")

    def check(self) -> None:
        """Check that the bucket exists and grants access."""
        with bucket_failures():
            # Nothing is below a blob, so this lists nothing, however many objects there are.
            list(self._client.list(key_of("0" * 64)))

    def listed(self, prefix: str, chunk_size: int = 50) -> Iterator["ObjectMeta"]:
        """Yield the objects whose keys begin with these segments."""
        with bucket_failures():
            for batch in self._client.list(prefix, chunk_size=chunk_size):
                yield from batch

    def head(self, key: str, *, brief: bool = False) -> "ObjectMeta | None":
        """Return one object; None: it does not exist.

        Args:
            key: key of the object.
            brief: whether the response is useless after `BRIEF_SECONDS`.
        """
        objects = self._brief if brief else self._client
        try:
            with bucket_failures():
                return objects.head(key)
        except NotFound:
            return None
        except StoreDenied:
            # The response to HEAD has no body, and so no reason: repeat the request by GET to get
            # the reason.
            with bucket_failures():
                objects.get_range(key, start=0, end=1)
            raise

    def open(self, found: "ObjectMeta") -> BinaryIO:
        """Open an object for reading; bytes are fetched as they are read."""
        return io.BufferedReader(BucketObjectReader(self._client, found), READ_BYTES)

    def read(self, key: str, size_bytes: int, start: int, length: int) -> bytes:
        """Read a range of an object of this length, by one request.

        Raises:
            NotFound: the object does not exist, or not with this length.
        """
        piece, found = b"", None
        if length:
            with bucket_failures():
                answer = self._client.get(key, options={"range": (start, start + length)})
                piece, found = bytes(answer.bytes()), answer.meta
        else:  # an empty range is refused, and an empty object has no other
            found = self.head(key)
        if found is None or found["size"] != size_bytes or len(piece) != length:
            raise NotFound(f"the store has no whole object {key}")
        return piece

    def upload(self, key: str, file: Path) -> None:
        """Upload a file as an object, in several parallel parts if it is long."""
        try:
            with bucket_failures():
                self._client.put(key, file, chunk_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE)
        except NotFound:
            raise StoreFailed("the bucket of the store is not there") from None

    def copy(self, key: str, aside: str) -> "ObjectMeta":
        """Copy an object; return the original if the service cannot copy it (above 5 GiB).

        Azure may respond before it has copied; a copy that is shorter than the object is
        incomplete.
        """
        reason = "the copy is not complete"
        with bucket_failures():
            found = self._client.head(key)
        try:
            with bucket_failures():
                self._client.copy(key, aside)
                copied = self._client.head(aside)
            if copied["size"] == found["size"]:
                return copied
        except StoreFailed as error:
            reason = error.detail
        log.warning("%s cannot be kept aside: %s", key, reason)
        return found

    def delete(self, key: str) -> None:
        """Delete one object, if it exists, by a request that every server supports.

        Transient failures are left to the caller, which tries again later.
        """
        if self._bucket.service.deletes_many:
            with suppress(NotFound):
                self.delete_all([key])
            return
        with bucket_failures():
            url = obstore.sign(self._client, "DELETE", key, _REQUEST_LIFE)
        answer = _request("DELETE", url)
        if answer.status not in (200, 202, 204, 404):
            raise refusal(f"status code: {answer.status} {answer.data[:1000].decode('latin-1')}")

    def delete_all(self, keys: Sequence[str]) -> None:
        """Delete objects by one request, which not every server supports.

        Raises:
            NotFound: one of them did not exist; the others are deleted (Azure).
        """
        with bucket_failures():
            self._brief.delete(keys)

    def marker(self) -> "tuple[bytes, UpdateVersion] | None":
        """Return the marker's content and the version to replace; None: there is no marker."""
        try:
            with bucket_failures():
                found = self._client.get(MARKER)
                return bytes(found.bytes()), _version(found.meta)
        except NotFound:
            self.check()  # a missing bucket must not look like one without a marker
            return None

    def put_marker(self, content: bytes, mode: "PutMode") -> None:
        """Write the marker, unless another process was faster."""
        with bucket_failures(), suppress(AlreadyExistsError, PreconditionError):
            # The library supports a condition (`mode`) only for uploads in one part.
            self._client.put(MARKER, content, mode=mode, use_multipart=False)

    def link(self, key: str) -> str | None:
        """Return a URL for any client to read the object for `LINK_LIFE`.

        None: clients cannot reach the bucket; its clock differs from ours, see `BucketStore.link`;
        or the credential cannot sign, such as a SAS of Azure, or an identity at Google without
        signBlob.
        """
        if not self._bucket.links or clock.now() < self._unsigned_until or self._differs_in_time():
            return None
        try:
            with bucket_failures():
                return obstore.sign(self._public, "GET", key, LINK_LIFE)
        except StagingApiError as error:
            log.warning("no links: the credential of the bucket cannot sign: %s", error.detail)
            self._unsigned_until = clock.now() + _COMPARED_SECONDS
            return None

    def time(self) -> float:
        """Return the time of the bucket's clock, which dates its objects, from its responses.

        If the service's responses have no date, this pod's own clock is used.
        """
        url = self._bucket.address
        if not url:
            with bucket_failures():
                url = obstore.sign(self._client, "HEAD", MARKER, _REQUEST_LIFE)
        # Even a refusal has a date.
        date = _request("HEAD", url).headers.get("Date", "")
        try:
            return parsedate_to_datetime(date).timestamp()
        except ValueError:
            return time.time()

    def _differs_in_time(self) -> bool:
        """Return whether the clock of this process differs from that of the bucket.

        Compared every `_COMPARED_SECONDS`, by a monotonic clock; a jump is noticed immediately.
        """
        if clock.now() - self._compared_at > _COMPARED_SECONDS:
            self._ahead_of_us, self._compared_at = self.time() - clock.now(), clock.now()
        differ = self._ahead_of_us + clock.now() - time.time()
        too_far = abs(differ) > self._bucket.service.clocks_differ_seconds
        if too_far:
            log.warning("no links: the clock of the bucket is %.0f s ahead of ours", differ)
        return too_far


def _version(found: "ObjectMeta") -> "UpdateVersion":
    """Return the version of an object: at Google its generation, elsewhere its ETag."""
    version: UpdateVersion = {"e_tag": found["e_tag"]}
    if found["version"] is not None:
        version["version"] = found["version"]
    return version


def _request(method: str, url: str) -> urllib3.BaseHTTPResponse:
    """Send a request that is authorised by its URL; return the bucket's response.

    Raises:
        StoreFailed: there was no response.
    """
    try:
        pools = _pools(proxy_to(url, environment.proxies()))
        return pools.request(method, url, retries=False, timeout=_REQUEST_SECONDS)
    except urllib3.exceptions.HTTPError as error:
        raise StoreFailed(
            f"the object store did not answer ({type(error).__name__})", retry_after_seconds=10
        ) from None
    except ValueError as error:
        raise StoreFailed(f"the object store cannot be reached: {error}") from None


@lru_cache
def _pools(proxy: str | None) -> urllib3.PoolManager:
    return pools_by(proxy, maxsize=16)
