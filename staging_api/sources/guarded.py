"""A source behind the breaker of its host, whatever its scheme."""

from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.sources.breaker import Breakers
from staging_api.sources.model import Source, SourceObject


class Guarded:
    """A source behind the breaker of its host."""

    def __init__(self, source: Source, host: str, breakers: Breakers) -> None:
        self._source = source
        self._host = host
        self._breakers = breakers

    @property
    def url(self) -> str:
        """The archive's canonical URL."""
        return self._source.url

    def names(self) -> list[str]:
        """Name every object of the archive."""
        with self._breakers.asking(self._host):
            return self._source.names()

    def stat(self, name: str) -> SourceObject:
        """Describe one object."""
        with self._breakers.asking(self._host):
            return self._source.stat(name)

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Stream a part of one object."""
        with (
            self._breakers.asking(self._host),
            self._source.open(found, start, end) as chunks,
        ):
            yield chunks

    def close(self) -> None:
        """Let go of connections."""
        self._source.close()
