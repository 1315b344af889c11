"""Source for archives below an http or https URL.

The version of an object is its strong ETag, or else its Last-Modified and length. Each response is
compared with the version, so resuming a body by ranges cannot mix two versions. Requests have no
If-Match, because some servers respond with 412 to any. If a server does not support ranges, the
bytes before the requested range are read and dropped; if these are many, the object is read whole
instead (`SourceChanged` makes the engine do so).

The response to HEAD is used only if it describes an object: signed URLs allow only GET, and some
servers do not support HEAD, or declare every length as 0. In these cases a GET of the first bytes
replaces it, also if HEAD gets no response; and a GET without a range, if the server refuses ranges.
If two responses never agree (mirrors with different ETags, a Last-Modified of now),
`HttpSource.take` reads and describes an object by a single GET.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from staging_api.errors import ArchiveNotFound, SourceChanged, SourceFailed, SourceRefused
from staging_api.sources.allowlist import AllowList
from staging_api.sources.headers import declared_digests, media_type, refuses_ranges
from staging_api.sources.http_answers import (
    OK,
    PARTIAL,
    UNDONE,
    begins_object,
    bytes_before,
    declared_coding,
    describes_object,
    range_headers,
    unasked_coding,
    version_of,
    whole_length,
)
from staging_api.sources.http_client import HttpClient, SourceResponse
from staging_api.sources.http_names import HttpNames
from staging_api.sources.http_statuses import ABSENT, TRANSIENT, check_status
from staging_api.sources.manifest import read_manifest
from staging_api.sources.model import CHUNK_BYTES, Names, Source, SourceObject, SourceOptions
from staging_api.sources.parallel_requests import ParallelRequests
from staging_api.sources.retrying import Interrupted, SlowestRate, resumed, retried
from staging_api.sources.target import target_of
from staging_api.sources.url import ArchiveUrl
from staging_api.sources.web_page import JUDGED_BYTES, is_foreign_page

#: Status codes after which a failed HEAD is not followed by a GET at once: the server is
#: overloaded.
_OVERLOADED = (*TRANSIENT, 503, 504)
#: Status codes of a HEAD that refuse the method for every object.
_NO_HEAD = (405, 501)
#: Status codes of a GET of the first bytes that may refuse the range, and not the object.
_NO_RANGE = {*range(400, 500), 501}.difference(ABSENT, (401, 407), TRANSIENT)
#: Limit of bytes to read in vain before a requested range, if a server does not support ranges.
_MOST_SKIPPED_BYTES = 8 << 20
_FIRST_BYTES = {"Range": f"bytes=0-{JUDGED_BYTES - 1}"}


def open_archive(url: ArchiveUrl, allowed: AllowList, options: SourceOptions) -> Source:
    """Open an archive below a URL.

    Raises:
        SourceNotAllowed: the allow-list does not cover the URL.
    """
    allowed.check(url)
    return HttpSource(url, HttpClient(allowed, options), options)


class HttpSource:
    """The objects below one URL."""

    def __init__(self, url: ArchiveUrl, client: HttpClient, options: SourceOptions) -> None:
        self._url = url
        self._client = client
        self._options = options
        self._parallel = ParallelRequests(options.read_timeout_seconds)
        #: Names of objects that are stored compressed, but sent decompressed unless gzip is
        #: accepted.
        self._packed: set[str] = set()
        self._rangeless: set[str] = set()
        #: The declared codings of objects, and the objects that are read in the less likely way.
        self._codings: dict[str, str] = {}
        self._switched: set[str] = set()
        self._has_head = True

    @property
    def url(self) -> str:
        """The archive's canonical URL."""
        return self._url.canonical

    def names(self) -> Names:
        """List all objects: from the manifest, or else from any list that the server has.

        A URL with a query, which may be the URL of an object, then lists that object.
        """
        if self._url.is_object:
            return Names([self._url.build])
        manifest = read_manifest(self, self._options)
        if manifest is not None:
            return manifest.names
        try:
            return HttpNames(self._url, self._client, self._options).names()
        except ArchiveNotFound:
            if not self._url.has_query:
                raise
        return Names([self.stat(self._url.build).name])

    def stat(self, name: str) -> SourceObject:
        """Describe an object by HEAD; after a failure by a GET of its first bytes, then of all."""
        ways = [self._stat_by_get, self._stat_by_first_bytes]
        if self._has_head:
            ways.append(self._stat_by_head)
        return retried(lambda: (ways.pop() if len(ways) > 1 else ways[0])(name), self._options)

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Stream a range of an object; resume it when the connection is cut."""
        # A Range header cannot express an empty range.
        if end is not None and end <= start:
            yield iter(())
            return
        is_far = start > _MOST_SKIPPED_BYTES
        if is_far and found.name in self._rangeless:
            raise self._no_ranges(found.name)
        chunks = resumed(
            lambda position: self._body(found, position, end, needs_range=is_far),
            start,
            self._options,
            resumable=lambda: found.version is not None,
        )
        with closing(chunks):
            yield chunks

    @contextmanager
    def take(self, name: str) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
        """Read a whole object by one GET; the headers of that response describe it."""
        taken: list[SourceObject] = []

        def read(position: int) -> Generator[bytes, None, None]:
            if taken:
                yield from self._body(taken[0], position, None)
                return
            with self._request("GET", name) as answer:
                check_status(answer, name, self._url, self._options)
                self._check_end(answer)
                found = self._described(name, answer)
                taken.append(found)
                yield b""  # the description is complete
                yield from self._streamed(answer, found, 0, None)

        # `resumable` is called only after bytes have arrived, so the description exists by then.
        chunks = resumed(read, 0, self._options, resumable=lambda: taken[0].version is not None)
        with closing(chunks):
            next(chunks)
            yield taken[0], chunks

    def switch_decoding(self, name: str) -> str:
        """From now on decode an object that was read as sent, or the other way round.

        Returns:
            The declared coding; empty: there is none, or both ways were used already.
        """
        if name in self._switched:
            return ""
        self._switched.add(name)
        return self._codings.get(name, "")

    def close(self) -> None:
        """Close all connections."""
        self._client.close()

    @contextmanager
    def _request(
        self, method: str, name: str, headers: dict[str, str] | None = None
    ) -> Iterator[SourceResponse]:
        stored = {"Accept-Encoding": "gzip"} if name in self._packed else {}
        target = target_of(self._url.below(name))
        with self._client.request(method, target, {**stored, **(headers or {})}) as answer:
            coding = self._coding(answer, name)
            if coding and coding not in UNDONE and answer.status in (OK, PARTIAL):
                raise SourceRefused(
                    f"{self._url.authority} sends {name} with Content-Encoding: {coding}, which was"
                    " not requested and cannot be decoded here: configure the server to send"
                    " the file unencoded"
                )
            yield replace(answer, coding=coding)

    def _coding(self, answer: SourceResponse, name: str) -> str:
        """Return the coding to decode; empty: the bytes as sent are those of the object."""
        declared = declared_coding(answer)
        if declared:
            self._codings[name] = declared
        usual = "" if name in self._packed else unasked_coding(answer, name)
        if name not in self._switched:
            return usual
        return "" if usual else declared

    def _stat_by_head(self, name: str) -> SourceObject:
        try:
            with self._request("HEAD", name) as answer:
                if answer.status in _OVERLOADED:
                    check_status(answer, name, self._url, self._options)
                if self._is_sent_unpacked(answer, name):
                    return self._stat_by_head(name)
                if describes_object(answer, name):
                    return self._described(name, answer)
        except Interrupted:
            # Some servers drop each HEAD, or let it wait until it times out.
            self._has_head = False
            raise
        if answer.status in _NO_HEAD:
            self._has_head = False
        return self._stat_by_first_bytes(name)

    def _stat_by_first_bytes(self, name: str) -> SourceObject:
        with self._request("GET", name, _FIRST_BYTES) as answer:
            if answer.status not in _NO_RANGE:
                return self._described_by_get(answer, name, self._stat_by_first_bytes)
        self._rangeless.add(name)
        return self._stat_by_get(name)

    def _stat_by_get(self, name: str) -> SourceObject:
        """Describe an object by a response whose body is hardly read."""
        with self._request("GET", name) as answer:
            return self._described_by_get(answer, name, self._stat_by_get)

    def _described_by_get(
        self, answer: SourceResponse, name: str, again: Callable[[str], SourceObject]
    ) -> SourceObject:
        check_status(answer, name, self._url, self._options)
        if self._is_sent_unpacked(answer, name):
            return again(name)
        self._check_page(answer, name, answer.read1(JUDGED_BYTES))
        return self._described(name, answer)

    def _is_sent_unpacked(self, answer: SourceResponse, name: str) -> bool:
        """Record that an object is sent as it is stored only if gzip is accepted.

        Google Cloud Storage decompresses objects that are stored with gzip for clients that do not
        accept gzip, although length, ranges and digests are those of the stored bytes.
        """
        stored = answer.headers.get("x-goog-stored-content-encoding", "").lower()
        if stored != "gzip" or name in self._packed:
            return False
        self._packed.add(name)
        return True

    def _described(self, name: str, answer: SourceResponse) -> SourceObject:
        if answer.coding or refuses_ranges(answer.headers):
            self._rangeless.add(name)
        size = whole_length(answer)
        version = version_of(answer, size)
        return SourceObject(
            name=name,
            url=self._url.below(name).canonical,
            size_bytes=size,
            version=version,
            strong=version is not None and version.startswith('"'),
            digests={} if answer.coding else declared_digests(answer.headers),
        )

    def _body(
        self, found: SourceObject, start: int, end: int | None, *, needs_range: bool = False
    ) -> Generator[bytes, None, None]:
        headers = {} if found.name in self._rangeless else range_headers(found, start, end)
        try:
            with self._parallel.one(), self._request("GET", found.name, headers) as answer:
                check_status(answer, found.name, self._url, self._options, is_found=True)
                self._check_version(answer, found)
                if needs_range and answer.status == OK:
                    raise self._no_ranges(found.name)
                yield from self._streamed(answer, found, start, end)
        except SourceRefused:
            if not headers:
                raise
            # Before the first byte. The server may refuse the range, and not the object.
            self._rangeless.add(found.name)
            yield from self._body(found, start, end, needs_range=needs_range)

    def _streamed(
        self, answer: SourceResponse, found: SourceObject, start: int, end: int | None
    ) -> Generator[bytes, None, None]:
        last = found.size_bytes if end is None else end
        skip = bytes_before(answer, start)
        if skip is None:
            # The next request for this object will not have a Range header.
            self._rangeless.add(found.name)
            raise Interrupted(f"{self._url.authority} answered with another range than requested")
        wanted = None if last is None else last - start
        # The header of such a body has no length of the object: make sure that the body ends here.
        exact = end is None and (answer.is_chunked or bool(answer.coding))
        left = yield from self._counted(answer, found.name, skip, wanted)
        if exact and (left or answer.read1(1)):
            raise SourceChanged(f"{found.name} is longer than it was when it was found")

    def _counted(
        self, answer: SourceResponse, name: str, skip: int, wanted: int | None
    ) -> Generator[bytes, None, int]:
        """Stream the body: drop the bytes before the requested ones, require all requested ones.

        Returns:
            The number of bytes that were received beyond the requested ones.
        """
        pace, is_first, left = SlowestRate(self._options), True, 0
        while wanted is None or wanted > 0:
            # One read of the socket: waiting for a full chunk would hide a slow body.
            chunk = answer.read1(CHUNK_BYTES)
            if not chunk:
                break
            if is_first and begins_object(answer):
                self._check_page(answer, name, chunk[:JUDGED_BYTES])
            is_first = False
            pace.add(len(chunk))
            skipped = min(skip, len(chunk))
            skip -= skipped
            chunk = chunk[skipped:] if skipped else chunk
            if wanted is not None:
                left = len(chunk) - wanted
                chunk = chunk[:wanted]
                wanted -= len(chunk)
            if chunk:
                yield chunk
        if wanted:
            raise Interrupted(f"{self._url.authority} cut the body short")
        return max(left, 0)

    def _check_page(self, answer: SourceResponse, name: str, first: bytes) -> None:
        kind = media_type(answer.headers)
        if is_foreign_page(name, kind, first, redirected=answer.target.redirected):
            raise SourceRefused(
                f"{self._url.authority} answered with a web page instead of {name}:"
                " a sign-in page, or an error page; the source needs a credential"
                " (STAGING_SOURCES_AUTHORIZATION_FILE), or another URL"
            )

    def _no_ranges(self, name: str) -> SourceChanged:
        """Record that an object has no ranges; return the error that makes readers read it all."""
        self._rangeless.add(name)
        return SourceChanged(f"{self._url.authority} has no ranges of {name}: it is read whole")

    def _check_end(self, answer: SourceResponse) -> None:
        """Refuse a body that ends with the connection, because it could be truncated."""
        if answer.status == OK and not answer.has_end:
            raise SourceFailed(
                f"{self._url.authority} does not say where the body ends", retryable=False
            )

    def _check_version(self, answer: SourceResponse, found: SourceObject) -> None:
        self._check_end(answer)
        length = whole_length(answer)
        differs = length is not None and found.size_bytes not in (None, length)
        if length is None and answer.status == PARTIAL:
            length = found.size_bytes  # the server does not know it, or does not say so
        if differs or version_of(answer, length) != found.version:
            raise SourceChanged(f"{found.name} changed since it was found")
