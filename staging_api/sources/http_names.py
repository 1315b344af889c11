"""List the objects below a URL, from any list that its server has.

HTTP has no way to list objects. Therefore these lists are requested in turn, and the first one that
names an object below the archive is used: the API of a release, the index page of the folder and of
its subfolders, the listing of a bucket, and files with the usual names of lists. A list that is
absent, forbidden or something else is skipped.
"""

import logging
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

from staging_api.errors import (
    ArchiveNotFound,
    LimitExceeded,
    NotFound,
    SourceFailed,
    SourceNotAllowed,
    SourceRefused,
    StagingApiError,
)
from staging_api.sources.authorization import credential_hint
from staging_api.sources.bucket_listing import BucketListing, read_listing
from staging_api.sources.headers import media_type, retry_after_seconds
from staging_api.sources.http_answers import unasked_coding
from staging_api.sources.http_client import HttpClient, SourceResponse
from staging_api.sources.index_page import read_index
from staging_api.sources.lists import names_in
from staging_api.sources.manifest import MAX_BYTES, checked_names
from staging_api.sources.model import CHUNK_BYTES, Names, SourceOptions
from staging_api.sources.one_object import perhaps_one_object
from staging_api.sources.releases import release_names, release_target
from staging_api.sources.retrying import Interrupted, SlowestRate, retried
from staging_api.sources.target import RequestTarget, target_of
from staging_api.sources.url import ArchiveUrl
from staging_api.sources.web_page import is_html_type

log = logging.getLogger(__name__)

#: File names of lists that are not written last, so that they are not manifests.
LISTS = ("SHA256SUMS", "SHA512SUMS", "MD5SUMS", "manifest.json")
_OK, _UNAUTHORIZED = 200, 401
_TRANSIENT = (429, 503)
#: Each page is a request, and a folder that contains itself, by a link, has endless pages.
_MAX_PAGES = 200
_MAX_DEPTH = 8


class HttpNames:
    """The ways to list one archive."""

    def __init__(self, url: ArchiveUrl, client: HttpClient, options: SourceOptions) -> None:
        self._url = url
        self._client = client
        self._options = options
        self._refused_by = ""

    def names(self) -> Names:
        """List all objects.

        Raises:
            ArchiveNotFound: there is no list of the objects.
            ArchiveUnsafe: a name leads out of the archive.
            LimitExceeded: there are too many names.
            SourceFailed: the server fails, and there is no other list.
            SourceRefused: the server requires a credential, or has a wrong certificate, and there
                is no other list.
        """
        failure: StagingApiError | None = None
        outside: list[str] = []
        for way in (self._of_release, self._of_pages, self._of_bucket, self._of_files):
            try:
                keys = way == self._of_bucket
                if found := checked_names(way(), self._options, keys=keys):
                    return found
            except (SourceFailed, SourceNotAllowed, NotFound) as error:
                log.info("%s: no list: %s", self._url.canonical, error.detail)
                tells = isinstance(error, Interrupted | SourceRefused)
                failure = failure or (error if tells else None)
                outside += [error.detail] if isinstance(error, SourceNotAllowed) else []
        if failure is not None:
            raise failure
        if self._refused_by:
            cure = credential_hint(self._url, self._refused_by, self._options)
            raise SourceRefused(
                f"{self._url.authority} refused access to what lists the objects with status"
                f" {_UNAUTHORIZED}; {cure}"
            )
        manifests = " or ".join(self._options.manifests)
        raise ArchiveNotFound(
            f"{self._url.canonical} has no {manifests}, and no other list of its objects:"
            f" no index page, no listing of a bucket, no {' or '.join(LISTS)};"
            f" an object can be requested by its full name (file:NAME)"
            f"{perhaps_one_object(self._url)}{_cure(outside)}"
        )

    def _of_release(self) -> list[str]:
        target = release_target(self._url)
        raw = self._read(target) if target else None
        return release_names(raw[0], self._url) if raw else []

    def _of_pages(self) -> Iterator[str]:
        """Walk the pages of the folder and its subfolders, in breadth-first order."""
        folders = [""]
        # The list grows during the iteration, so shallow folders come first.
        for pages, folder in enumerate(folders):
            if pages == _MAX_PAGES:
                raise LimitExceeded(
                    f"{self._url.canonical} has more than {_MAX_PAGES} folders: put a manifest"
                    f" ({self._options.manifests[0]}) there, or request its objects by their names"
                )
            target = self._folder(folder)
            read = self._read(target)
            if read is None:
                continue
            raw, answer = read
            kind = media_type(answer.headers)
            # A page at another address, such as a sign-in page, does not show this folder.
            elsewhere = answer.target.path != target.path
            if elsewhere or (not is_html_type(kind) and "json" not in kind):
                continue
            page = read_index(raw, kind, f"{answer.target.origin}{target.path}")
            yield from (f"{folder}{name}" for name in page.names)
            if folder.count("/") < _MAX_DEPTH:
                folders += [f"{folder}{name}" for name in page.folders]

    def _folder(self, folder: str) -> RequestTarget:
        """Return the address of a page; `folder` is below the archive, and ends in a slash."""
        path, _, query = target_of(self._url).path.partition("?")
        path = f"{path}/{quote(folder)}"
        return RequestTarget(self._url, f"{path}?{query}" if query else path)

    def _of_bucket(self) -> Iterator[str]:
        """Request the listing of a bucket, which is the host, or else the first path segment."""
        for taken in (0, 1):
            bucket, below = self._url.segments[:taken], self._url.segments[taken:]
            prefix = "".join(f"{segment}/" for segment in below)
            found = False
            for listing in self._pages_of(bucket, prefix):
                found = True
                for key in listing.keys:
                    if key.startswith(prefix) and not key.endswith("/"):
                        yield key.removeprefix(prefix)
            if found:
                return

    def _pages_of(self, bucket: tuple[str, ...], prefix: str) -> Iterator[BucketListing]:
        url = replace(self._url, segments=bucket)
        query = f"list-type=2&encoding-type=url&prefix={quote(prefix, safe='')}"
        following = ""
        # Limited, because a server that ignores the token would send its first page forever.
        for _ in range(1 + self._options.most_names // 100):
            read = self._read(target_of(url, query + following))
            listing = read_listing(read[0]) if read else None
            if listing is None:
                return
            yield listing
            following = listing.following
            if not following:
                return

    def _of_files(self) -> list[str]:
        for name in LISTS:
            read = self._read(target_of(self._url.below(name)))
            if read is not None and not is_html_type(media_type(read[1].headers)):
                return [*names_in(read[0], name), name]
        return []

    def _read(self, target: RequestTarget) -> tuple[bytes, SourceResponse] | None:
        """Return the bytes at a target, and their response; None if there is no such object."""
        beside = self._folder("").path.partition("?")[0]

        def read() -> tuple[bytes, SourceResponse] | None:
            with self._client.request("GET", target, {}) as answer:
                if answer.status in _TRANSIENT:
                    raise Interrupted(
                        f"{target.url.authority} answered with status {answer.status}",
                        retry_after_seconds=retry_after_seconds(answer.headers),
                    )
                # Other paths of the server may require a credential while this archive does not
                # exist.
                if answer.status == _UNAUTHORIZED and target.path.startswith(beside):
                    self._refused_by = answer.target.origin
                if answer.status != _OK:
                    return None
                read = replace(answer, coding=unasked_coding(answer, ""))
                return _body(read, self._options), read

        return retried(read, self._options)


def _cure(outside: list[str]) -> str:
    """Return a hint about lists outside of the allow-list."""
    return f"; perhaps STAGING_SOURCES should allow more: {', '.join(outside)}" if outside else ""


def _body(answer: SourceResponse, options: SourceOptions) -> bytes:
    raw, pace = bytearray(), SlowestRate(options)
    while chunk := answer.read1(CHUNK_BYTES):
        pace.add(len(chunk))
        raw += chunk
        if len(raw) > MAX_BYTES:
            raise LimitExceeded(f"a list of the archive has more than {MAX_BYTES} bytes")
    return bytes(raw)
