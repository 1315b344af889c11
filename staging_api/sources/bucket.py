"""Source for archives in buckets of Google Cloud Storage, S3 or Azure, or of compatible servers.

The object store library finds credentials along each platform's usual chain, retries transient
failures, and resumes a truncated body at the same version. Its errors are translated by
`bucket_failures`.

The version of an object is its generation (gs) or version id (s3, az) if the store has one,
otherwise its ETag; each read requests this version, and the version of the response is compared.
"""

import logging
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from obstore.exceptions import BaseError, InvalidPathError

from staging_api.buckets import SERVICES
from staging_api.errors import ArchiveNotFound, SourceChanged, SourceFailed
from staging_api.formats.names import shown
from staging_api.proxies import library_proxy
from staging_api.sources.allowlist import AllowList
from staging_api.sources.bucket_failures import LISTING, bucket_failures
from staging_api.sources.bucket_pages import listed_keys
from staging_api.sources.manifest import checked_names, read_manifest
from staging_api.sources.model import CHUNK_BYTES, Names, Source, SourceObject, SourceOptions
from staging_api.sources.one_object import perhaps_one_object
from staging_api.sources.retrying import SlowestRate
from staging_api.sources.tls import authorities
from staging_api.sources.url import ArchiveUrl

if TYPE_CHECKING:  # the library exports this class to type checkers only
    from obstore import GetResult

    from staging_api.buckets import BucketClient

log = logging.getLogger(__name__)

_INVALID_PATH = re.compile(r'Path "(.{1,1024}?)"')
_MD5 = re.compile(r'"?([0-9a-f]{32})"?')
#: Time limit of one request with its body and all attempts; large objects take long.
_LONGEST_REQUEST = timedelta(hours=12)


def open_archive(url: ArchiveUrl, allowed: AllowList, options: SourceOptions) -> Source:
    """Open an archive in a bucket.

    Raises:
        SourceNotAllowed: the allow-list does not cover the URL.
        SourceFailed: the settings are not sufficient to reach the bucket.
    """
    allowed.check(url)
    service = SERVICES[url.scheme]
    where = options.buckets.get(url.scheme, {})
    anonymous = f"{url.scheme}://{url.authority}" in options.anonymous

    def connect(headers: Mapping[str, str]) -> "BucketClient":
        client = _client(url, options, headers)
        return service.connect(url.authority, where, skip_signature=anonymous, **client)

    def plain_list() -> Iterator[str] | None:
        return listed_keys(url, options, _client(url, options, {}), anonymous=anonymous)

    try:
        store = connect(service.as_stored)
        lister = connect({}) if service.as_stored else store
        return BucketSource(url, store, options, lister, plain_list)
    except BaseError:
        raise SourceFailed(
            f"{url.scheme}://{url.authority} cannot be read as it is set up: check"
            f" STAGING_SOURCES_{url.scheme.upper()}_* and the credential",
            retryable=False,
        ) from None


@dataclass(frozen=True)
class BucketSource:
    """The objects of one bucket below one prefix.

    Attributes:
        store: client that reads the objects.
        lister: client that lists the objects.
        plain_list: lists the objects if `lister` cannot.
    """

    archive: ArchiveUrl
    store: "BucketClient"
    options: SourceOptions
    lister: "BucketClient"
    plain_list: Callable[[], Iterator[str] | None]

    @property
    def url(self) -> str:
        """The archive's canonical URL."""
        return self.archive.canonical

    def names(self) -> Names:
        """List all objects: from the manifest, or else by listing the prefix."""
        manifest = read_manifest(self, self.options)
        if manifest is not None:
            found = manifest.names
        else:
            with bucket_failures(self.archive, LISTING):
                found = checked_names(self._listed(), self.options, keys=True)
        if not found:
            hint = perhaps_one_object(self.archive)
            raise ArchiveNotFound(f"{self.archive.canonical} has no objects{hint}")
        return found

    def stat(self, name: str) -> SourceObject:
        """Describe an object."""
        with bucket_failures(self.archive, name):
            return self._described(name, self.store.head(self.archive.key_prefix + name))

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Stream a range of an object."""
        last = (found.size_bytes or 0) if end is None else end
        chunks = self._chunks(found, start, last)
        with closing(chunks):
            yield chunks

    def close(self) -> None:
        """Do nothing: connections are closed with the last reference to the store."""

    def _listed(self) -> Iterator[str]:
        keys: Iterable[str] | None
        try:
            pages = self.lister.list(self.archive.key_prefix or None)
            keys = self._exact({meta["path"]: meta["size"] for page in pages for meta in page})
        except InvalidPathError as error:
            keys = self.plain_list()
            if keys is None:
                raise _unlisted(self.archive, error) from None
        for key in keys:
            # A key that ends in a slash represents a folder in a web console.
            if key.startswith(self.archive.key_prefix) and not key.endswith("/"):
                yield key.removeprefix(self.archive.key_prefix)

    def _exact(self, listed: Mapping[str, int]) -> Iterable[str]:
        """Return the keys as they are in the bucket.

        The library drops the slash at the end of a key, so a folder marker looks like an object,
        but reading it fails. Only an empty object, or one with keys below it, can be a folder
        marker.

        Args:
            listed: keys from the library, with the lengths of their objects.
        """
        folders = _folders_of(listed)
        if all(size and key not in folders for key, size in listed.items()):
            return listed
        try:
            keys = self.plain_list()
            if keys is not None:
                return list(keys)
        except SourceFailed:
            log.info("Objects of %s that stand for folders are guessed", self.url)
        return [key for key, size in listed.items() if size or key not in folders]

    def _chunks(self, found: SourceObject, start: int, end: int) -> Generator[bytes, None, None]:
        if start >= end:
            return
        # The length is checked here, because the library accepts a Content-Length that is too
        # short.
        wanted, pace = end - start, SlowestRate(self.options)
        with bucket_failures(self.archive, found.name):
            answer = self._answer(found, (start, end))
            if self._described(found.name, answer.meta).version != found.version:
                raise SourceChanged(f"{found.name} changed since it was found")
            # The library buffers a whole chunk first. A body that trickles is therefore detected
            # with its next chunk, or by `_LONGEST_REQUEST`; smaller chunks would each cost more.
            for chunk in answer.stream(min_chunk_size=CHUNK_BYTES):
                pace.add(len(chunk))
                wanted -= len(chunk)
                yield bytes(chunk)
        if wanted:
            raise SourceFailed(f"{self.archive.authority} did not send {found.name} whole")

    def _answer(self, found: SourceObject, part: tuple[int, int]) -> "GetResult":
        options: Any = {**_of_version(found), "range": part}
        try:
            return self.store.get(self.archive.key_prefix + found.name, options=options)
        except FileNotFoundError:
            # In a bucket without versions a new generation replaces the old one.
            raise SourceChanged(f"{found.name} was replaced since it was found") from None

    def _described(self, name: str, meta: Any) -> SourceObject:
        version, etag = meta["version"], meta["e_tag"]
        md5 = _MD5.fullmatch(etag or "") if self.options.etag_is_md5 else None
        return SourceObject(
            name=name,
            url=self.archive.below(name).canonical,
            size_bytes=meta["size"],
            version=version or etag or meta["last_modified"].isoformat(),
            # A weak ETag or a modification time may stay the same while the bytes change.
            strong=bool(version or (etag or "").startswith('"')),
            digests={"md5": md5[1]} if md5 else {},
        )


def _folders_of(keys: Iterable[str]) -> set[str]:
    folders: set[str] = set()
    for key in keys:
        folder = key.rpartition("/")[0]
        while folder and folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return folders


def _unlisted(url: ArchiveUrl, error: BaseError) -> SourceFailed:
    """Return an error with the key that the library cannot list, and the remedy."""
    found = _INVALID_PATH.search(str(error))
    key = shown(found[1]) if found else "one of its keys"
    return SourceFailed(
        f"{url.canonical} cannot be listed: {key} is a name that the library does not accept;"
        " add a manifest, or request objects by their names",
        retryable=False,
    )


def _of_version(found: SourceObject) -> dict[str, Any]:
    """Return the condition that selects the version in a request."""
    if found.version is None:
        return {}
    # Only ETags are quoted; others are generations or version ids.
    return {"if_match" if found.version.startswith('"') else "version": found.version}


def _client(url: ArchiveUrl, options: SourceOptions, headers: Mapping[str, str]) -> dict[str, Any]:
    client: dict[str, Any] = {
        **library_proxy(url.scheme, options.buckets.get(url.scheme, {}), options.proxies),
        "allow_http": True,  # used only if a configured endpoint says http
        "connect_timeout": timedelta(seconds=options.connect_timeout_seconds),
        "read_timeout": timedelta(seconds=options.read_timeout_seconds),
        "timeout": _LONGEST_REQUEST,
        "user_agent": "staging-api",
        "default_headers": dict(headers),
    }
    if options.ca_file:
        client["root_certificate"] = authorities(options.ca_file)
    retry = {
        "max_retries": options.attempts - 1,
        "retry_timeout": _LONGEST_REQUEST,
        "backoff": {
            "init_backoff": timedelta(seconds=options.backoff_seconds),
            "max_backoff": timedelta(seconds=options.backoff_cap_seconds),
            "base": 2,
        },
    }
    return {"client_options": client, "retry_config": retry}
