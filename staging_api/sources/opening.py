"""Open the archive at a URL of any scheme."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pkgutil import resolve_name

from staging_api.errors import SourceFailed, SourceNotAllowed
from staging_api.sources.allowlist import AllowList
from staging_api.sources.breaker import Breakers
from staging_api.sources.model import (
    Names,
    Source,
    SourceObject,
    SourceOptions,
    switch_decoding,
    take,
)
from staging_api.sources.url import SCHEMES, ArchiveUrl, Scheme

_OPTIONS = SourceOptions()


def open_archive(url: ArchiveUrl, allowed: AllowList, options: SourceOptions = _OPTIONS) -> Source:
    """Open an archive for reading; makes no connection yet.

    Raises:
        SourceNotAllowed: the allow-list does not cover the URL.
    """
    source = _opener(SCHEMES[url.scheme])(url, allowed, options)
    if url.local:
        return source
    return _BreakerSource(source, f"{url.scheme}://{url.authority}", options.breakers)


def import_openers(allowed: AllowList) -> None:
    """Import the modules for all allowed schemes before a fork, so that processes share them."""
    for scheme in {entry.url.scheme for entry in allowed.entries}:
        _opener(SCHEMES[scheme])


class _BreakerSource:
    """A source behind the circuit breaker of its host."""

    def __init__(self, source: Source, host: str, breakers: Breakers) -> None:
        self._source = source
        self._host = host
        self._breakers = breakers

    @property
    def url(self) -> str:
        return self._source.url

    def names(self) -> Names:
        with self._breakers.calling(self._host):
            return self._source.names()

    def stat(self, name: str) -> SourceObject:
        with self._breakers.calling(self._host), _named(name):
            return self._source.stat(name)

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        opened = self._source.open(found, start, end)
        with self._breakers.calling(self._host), _named(found.name), opened as chunks:
            yield chunks

    @contextmanager
    def take(self, name: str) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
        with self._breakers.calling(self._host), _named(name), take(self._source, name) as taken:
            yield taken

    def switch_decoding(self, name: str) -> str:
        return switch_decoding(self._source, name)

    def close(self) -> None:
        self._source.close()


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Add the object's name to errors, because an artifact may consist of thousands of objects."""
    try:
        yield
    except (SourceFailed, SourceNotAllowed) as error:
        if not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", error.detail):
            error.detail = f"{name}: {error.detail}"
            error.args = (error.detail,)
        raise


def _opener(scheme: Scheme) -> Callable[[ArchiveUrl, AllowList, SourceOptions], Source]:
    opener: Callable[[ArchiveUrl, AllowList, SourceOptions], Source] = resolve_name(scheme.opener)
    return opener
