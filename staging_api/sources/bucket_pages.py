"""List a bucket page by page over HTTP, if the library cannot list it.

The library refuses a whole page if a key is not a valid path for it (``a//b``, ``a/../b``, a
control character), although the services list such keys. Therefore the page is requested here, by a
URL that the library signs with its credential. The library signs only URLs of objects; to get the
URL of a listing, the client's endpoint is set to the bucket's address with the query of the
listing. The rest of the object's path then becomes the value of ``x-id``, which servers ignore.

S3 and Google Cloud Storage have the same listing format and accept such URLs. Azure has its own
format, and signs URLs for single objects only, so it is used only where no signature is needed.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import obstore
import urllib3
from obstore.exceptions import BaseError

from staging_api import environment
from staging_api.buckets import SERVICES
from staging_api.errors import LimitExceeded, SourceFailed
from staging_api.proxies import pools_by, proxy_to
from staging_api.sources.bucket_listing import BucketListing, read_listing
from staging_api.sources.http_client import broken_off
from staging_api.sources.manifest import MAX_BYTES
from staging_api.sources.model import SourceOptions
from staging_api.sources.proxy_failures import usable_proxy
from staging_api.sources.retrying import Interrupted, SlowestRate, retried
from staging_api.sources.url import ArchiveUrl

#: 203 is the status of a page that a proxy passed on.
_OK, _SERVER_FAILED = (200, 203), 500
_TRANSIENT = (408, 429)
_LINK_SECONDS = 300
_MOST_PAGES = 10_000
_CHUNK_BYTES = 64 << 10
_SIGNED_PATH = "ListObjectsV2"
_S3_LIST = "list-type=2&encoding-type=url"
_AZURE_LIST = "restype=container&comp=list"


def listed_keys(
    url: ArchiveUrl, options: SourceOptions, client: Mapping[str, Any], *, anonymous: bool
) -> Iterator[str] | None:
    """Yield all keys below an archive, whatever they contain; None if the service has no such list.

    Args:
        url: URL of the archive.
        options: options of all sources.
        client: arguments of the library's client.
        anonymous: whether the bucket is read without credentials.
    """
    address = _address(url, options, anonymous=anonymous)
    if address is None:
        return None
    pages = _Pages(url, options, client, f"{address}/{quote(url.authority)}", anonymous)
    return pages.keys()


@dataclass(frozen=True)
class _Pages:
    """The pages of one listing; `bucket` is the address of its bucket."""

    url: ArchiveUrl
    options: SourceOptions
    client: Mapping[str, Any]
    bucket: str
    anonymous: bool

    def keys(self) -> Iterator[str]:
        kind = _AZURE_LIST if self.url.scheme == "az" else _S3_LIST
        query = f"{kind}&prefix={quote(self.url.key_prefix, safe='')}"
        following = ""
        with _http(self.bucket, self.options) as http:
            for _ in range(_MOST_PAGES):
                page = self._page(http, query + following)
                yield from page.keys
                following = page.following
                if not following:
                    return
        raise LimitExceeded(f"{self.url.canonical} has more than {_MOST_PAGES} pages of keys")

    def _page(self, http: urllib3.PoolManager, query: str) -> BucketListing:
        def read() -> BucketListing:
            where = f"{self.url.scheme}://{self.url.authority}"
            try:
                status, raw = _got(http, self._link(query), self.options)
            except urllib3.exceptions.HTTPError as error:
                failed = broken_off(where, error)
                if failed.retryable:
                    failed = Interrupted(f"{where} did not send its listing")
                raise failed from None
            if status in _TRANSIENT or status >= _SERVER_FAILED:
                raise Interrupted(f"{where} answered with status {status}")
            listing = read_listing(raw) if status in _OK else None
            if listing is None:
                raise SourceFailed(
                    f"{where} did not deliver its listing ({status})", retryable=False
                )
            return listing

        return retried(read, self.options)

    def _link(self, query: str) -> str:
        if self.anonymous:
            return f"{self.bucket}?{query}"
        service, given = SERVICES[self.url.scheme], dict(self.client)
        where = dict(self.options.buckets.get(self.url.scheme, {}))
        where["endpoint"] = f"{self.bucket}?{query}&x-id="
        if self.url.scheme == "s3":
            # With this option the library uses the endpoint as the bucket's address, unchanged.
            given["virtual_hosted_style_request"] = True
        try:
            signer = service.connect(self.url.authority, where, **given)
            life = timedelta(seconds=_LINK_SECONDS)
            return str(obstore.sign(signer, "GET", _SIGNED_PATH, life))
        except BaseError as error:
            kind = type(error).__name__
            raise SourceFailed(
                f"the listing of {self.url.canonical} cannot be signed ({kind})"
            ) from None


def _got(http: urllib3.PoolManager, url: str, options: SourceOptions) -> tuple[int, bytes]:
    """Return status and body, reading no more than the maximum size of a listing."""
    answer = http.request("GET", url, retries=False, redirect=False, preload_content=False)
    try:
        # `read1` returns the bytes that have arrived; `read` would allocate the whole size at once.
        raw, pace = bytearray(), SlowestRate(options)
        while len(raw) <= MAX_BYTES and (chunk := answer.read1(_CHUNK_BYTES)):
            pace.add(len(chunk))
            raw += chunk
        return answer.status, bytes(raw)
    finally:
        answer.close()


def _address(url: ArchiveUrl, options: SourceOptions, *, anonymous: bool) -> str | None:
    """Return the address of a bucket's service; None if its listing cannot be requested."""
    where = {**environment.bucket_options(url.scheme), **options.buckets.get(url.scheme, {})}
    if url.scheme == "s3":
        where = {"region": "us-east-1", **where}
        address = where.get("endpoint", f"https://s3.{where['region']}.amazonaws.com")
    elif url.scheme == "gs" or (anonymous and where):
        address = SERVICES[url.scheme].address_of(where)
    else:
        return None
    return address.rstrip("/")


def _http(address: str, options: SourceOptions) -> urllib3.PoolManager:
    timeout = urllib3.Timeout(
        connect=options.connect_timeout_seconds, read=options.read_timeout_seconds
    )
    given: dict[str, Any] = {"timeout": timeout, "ca_certs": options.ca_file}
    with usable_proxy():
        return pools_by(proxy_to(address, options.proxies), **given)
