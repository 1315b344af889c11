"""A source whose calls can be abandoned at any time, also while the source is silent.

A silent source holds its caller until all time-outs and retries are over. So another thread calls
the source, and the waiting thread calls `check` four times a second: an exception of `check` ends
the wait. The producing thread is a chunk or two ahead, so the source sends while earlier chunks
are hashed and written.

What becomes of an abandoned thread? It ends with the next chunk, or when the source is closed: that
shuts down http connections; the object stores' library ends by its own time-outs
(`SourceOptions.read_timeout_seconds`, `attempts` times). It writes nothing; its chunks are dropped.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import chain
from typing import TypeVar

from staging_api.prefetch import BoundedQueue
from staging_api.sources.model import Names, Source, SourceObject, take

T = TypeVar("T")


class Interruptible:
    """A source whose calls `check` can end."""

    def __init__(self, source: Source, check: Callable[[], None]) -> None:
        """Call `source`; an exception of `check`, in any waiting thread, ends the wait."""
        self._source = source
        self._check = check

    @property
    def url(self) -> str:
        """The archive's canonical URL."""
        return self._source.url

    def names(self) -> Names:
        """List every object of the archive."""
        return self._answer(self._source.names)

    def stat(self, name: str) -> SourceObject:
        """Describe one object."""
        return self._answer(lambda: self._source.stat(name))

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Stream a range of one object."""
        chunks = _from_thread(lambda: self._source.open(found, start, end), self._check)
        with closing(chunks):
            yield chunks

    @contextmanager
    def take(self, name: str) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
        """Read a whole object by the answer that describes it."""
        described: list[SourceObject] = []

        @contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            with take(self._source, name) as (found, chunks):
                described.append(found)
                yield chain((b"",), chunks)

        with closing(_from_thread(opened, self._check)) as chunks:
            next(chunks)  # empty: the description has come
            yield described[0], chunks

    def close(self) -> None:
        """Close the source; running calls end."""
        self._source.close()

    def _answer(self, ask: Callable[[], T]) -> T:
        @contextmanager
        def opened() -> Iterator[Iterator[T]]:
            yield iter([ask()])

        with closing(_from_thread(opened, self._check)) as answers:
            return next(answers)


def _from_thread(
    opened: Callable[[], AbstractContextManager[Iterator[T]]], check: Callable[[], None]
) -> Generator[T, None, None]:
    """Yield the items of the block from another thread, in order; leaving early abandons it."""
    queue: BoundedQueue[T] = BoundedQueue()
    queue.feed(opened, "source")
    try:
        yield from queue.items(check)
    finally:
        queue.abandon()
