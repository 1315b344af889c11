"""Read archives below an http or https URL.

An object's version is its strong ETag, or else its Last-Modified and length. Each request names its
version (If-Match) and each answer is compared again, so a body that is resumed by ranges cannot
mix two versions. A server without ranges costs the bytes before the requested ones, nothing else.
"""

import base64
import binascii
import re
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager

from staging_api.errors import (
    ArchiveNotFound,
    ArtifactNotFound,
    SourceChanged,
    SourceFailed,
    SourceRefused,
)
from staging_api.sources.allowlist import AllowList
from staging_api.sources.http_client import HttpClient, Response
from staging_api.sources.manifest import read_manifest
from staging_api.sources.model import CHUNK_BYTES, Source, SourceObject, SourceOptions
from staging_api.sources.retrying import Interrupted, Pace, resumed, retried
from staging_api.sources.url import ArchiveUrl

_GONE = (404, 410)
_CHANGED = (412, 416)
_REFUSED = (401, 403, 407)
_SOON_BETTER = (408, 425, 429)
_NO_SUCH_METHOD = (405, 501)
_SERVER_FAILED = 500
_OK, _PARTIAL = 200, 206
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_DIGEST_NAMES = {"sha-256": "sha256", "sha256": "sha256", "md5": "md5", "crc32c": "crc32c"}
_DIGEST_BYTES = {"sha256": 32, "md5": 16, "crc32c": 4}


def open_archive(url: ArchiveUrl, allowed: AllowList, options: SourceOptions) -> Source:
    """Open an archive below a URL.

    Raises:
        SourceNotAllowed: the allow-list does not cover it.
    """
    allowed.check(url)
    return HttpSource(url, HttpClient(allowed, options), options)


class HttpSource:
    """The objects below one URL."""

    def __init__(self, url: ArchiveUrl, client: HttpClient, options: SourceOptions) -> None:
        self._url = url
        self._client = client
        self._options = options

    @property
    def url(self) -> str:
        """The archive's canonical URL."""
        return self._url.canonical

    def names(self) -> list[str]:
        """List every object, from the manifest: http has no listing."""
        manifest = read_manifest(self, self._options)
        if manifest is None:
            raise ArchiveNotFound(f"{self._url.canonical} has no {self._options.manifest}")
        return list(manifest.names)

    def stat(self, name: str) -> SourceObject:
        """Describe one object."""
        return retried(lambda: self._stat(name), self._options)

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Stream a range of one object, resuming where the connection is cut."""
        # An empty range cannot be written as a Range header.
        if end is not None and end <= start:
            yield iter(())
            return
        chunks = resumed(
            lambda position: self._body(found, position, end),
            start,
            self._options,
            resumable=found.version is not None,
        )
        with closing(chunks):
            yield chunks

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    def _stat(self, name: str, method: str = "HEAD") -> SourceObject:
        url = self._url.below(name)
        with self._client.request(method, url, {}) as response:
            # A GET whose body is not read gives the same headers, at the price of a connection.
            if response.status in _NO_SUCH_METHOD and method == "HEAD":
                return self._stat(name, "GET")
            self._check_status(response, name)
            length = response.headers.get("Content-Length")
            version = _version(response, length)
            return SourceObject(
                name=name,
                url=url.canonical,
                size_bytes=int(length) if length and length.isdigit() else None,
                version=version,
                strong=version is not None and version.startswith('"'),
                digests=digests_of(response.headers),
            )

    def _body(
        self, found: SourceObject, start: int, end: int | None
    ) -> Generator[bytes, None, None]:
        url = self._url.below(found.name)
        with self._client.request("GET", url, _conditions(found, start, end)) as response:
            self._check_status(response, found.name)
            self._check_version(response, found)
            last = found.size_bytes if end is None else end
            skip = _skipped(response, start)
            yield from self._counted(response, skip, None if last is None else last - start)
            # A chunked body has no length in its head: make sure that it ends here.
            if end is None and response.read1(1, decode_content=False):
                raise SourceChanged(f"{found.name} is longer than it was when it was found")

    def _counted(
        self, response: Response, skip: int, wanted: int | None
    ) -> Generator[bytes, None, None]:
        """Stream the body: drop the bytes before the requested ones, require all of these."""
        pace = Pace(self._options)
        while wanted is None or wanted > 0:
            # One read of the socket: waiting for a full chunk would hide a slow body.
            chunk = response.read1(CHUNK_BYTES, decode_content=False)
            if not chunk:
                break
            pace.add(len(chunk))
            skipped = min(skip, len(chunk))
            skip -= skipped
            chunk = chunk[skipped:] if skipped else chunk
            if wanted is not None:
                chunk = chunk[:wanted]
                wanted -= len(chunk)
            if chunk:
                yield chunk
        if wanted:
            raise Interrupted(f"{self._url.authority} cut the body short")

    def _check_status(self, response: Response, name: str) -> None:
        host, status = self._url.authority, response.status
        if status in (_OK, _PARTIAL):
            return
        if status in _GONE:
            raise ArtifactNotFound(f"{name} is not in the archive")
        if status in _CHANGED:
            raise SourceChanged(f"{name} changed since it was found")
        if status in _REFUSED:
            raise SourceRefused(f"{host} refused access with status {status}")
        if status in _SOON_BETTER or status >= _SERVER_FAILED:
            after = response.headers.get("Retry-After", "")
            raise Interrupted(
                f"{host} answered with status {status}",
                retry_after_seconds=float(after) if after.isdigit() else None,
            )
        raise SourceFailed(f"{host} answered with status {status}")

    def _check_version(self, response: Response, found: SourceObject) -> None:
        length: str | None = response.headers.get("Content-Length")
        if response.status == _PARTIAL:
            content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
            length = content_range[3] if content_range and content_range[3] != "*" else None
        # A body that ends with the connection cannot be distinguished from a cut one.
        elif length is None and not getattr(response, "chunked", False):
            raise SourceFailed(f"{self._url.authority} does not say where the body ends")
        differs = length is not None and found.size_bytes not in (None, int(length))
        if differs or _version(response, length) != found.version:
            raise SourceChanged(f"{found.name} changed since it was found")


def digests_of(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the declared digests of the whole object, in hex by algorithm."""
    found: dict[str, str] = {}
    for text in (headers.get("x-goog-hash", ""), headers.get("Repr-Digest", "")):
        for item in text.split(","):
            name, _, value = item.strip().partition("=")
            _note(found, name.lower(), value)
    _note(found, "md5", headers.get("Content-MD5", ""))
    for name in ("sha256", "crc32c"):
        # Objects uploaded in parts have a checksum of checksums, with a hyphen and a number.
        _note(found, name, headers.get(f"x-amz-checksum-{name}", ""))
    return found


def _note(found: dict[str, str], name: str, value: str) -> None:
    algorithm = _DIGEST_NAMES.get(name)
    try:
        raw = base64.b64decode(value.strip(":"), validate=True)
    except (binascii.Error, ValueError):
        return
    if algorithm and len(raw) == _DIGEST_BYTES[algorithm]:
        found[algorithm] = raw.hex()


def _version(response: Response, length: str | None) -> str | None:
    etag = response.headers.get("ETag")
    if etag and not etag.startswith("W/"):
        return str(etag)
    modified = response.headers.get("Last-Modified")
    return f"{modified} {length}" if modified and length else None


def _conditions(found: SourceObject, start: int, end: int | None) -> dict[str, str]:
    headers = {}
    if found.version and found.version.startswith('"'):
        headers["If-Match"] = found.version
    if start or end is not None:
        headers["Range"] = f"bytes={start}-{'' if end is None else end - 1}"
    return headers


def _skipped(response: Response, start: int) -> int:
    """Return how many bytes of the body come before the requested ones."""
    if response.status == _OK:
        return start
    content_range = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if content_range is None or int(content_range[1]) != start:
        raise SourceFailed("the source answered with another range than the requested one")
    return 0
