"""A source whose calls can be cancelled at any time, even while the source is silent.

A silent source blocks its caller until all timeouts and retries are over. Therefore another thread
calls the source, and the waiting thread calls `check` four times a second: an exception of `check`
ends the wait. The producing thread is one or two chunks ahead, so the source sends while earlier
chunks are hashed and written.

What happens to a cancelled thread? It ends with the next chunk, or when the source is closed, which
shuts down http connections; the object store library ends by its own timeouts
(`SourceOptions.read_timeout_seconds`, `attempts` times). It writes nothing; its chunks are dropped.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import chain
from typing import TypeVar

from staging_api.prefetch import BoundedQueue
from staging_api.sources.model import Names, Source, SourceObject, switch_decoding, take

T = TypeVar("T")


class Interruptible:
    """A source whose calls are cancelled by an exception of `check`."""

    def __init__(self, source: Source, check: Callable[[], None]) -> None:
        """Wrap `source`; an exception of `check`, in any waiting thread, ends the wait."""
        self._source = source
        self._check = check

    @property
    def url(self) -> str:
        """The archive's canonical URL."""
        return self._source.url

    def names(self) -> Names:
        """List all objects of the archive."""
        return self._answer(self._source.names)

    def stat(self, name: str) -> SourceObject:
        """Describe an object."""
        return self._answer(lambda: self._source.stat(name))

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Stream a range of an object."""
        chunks = _from_thread(lambda: self._source.open(found, start, end), self._check)
        with closing(chunks):
            yield chunks

    @contextmanager
    def take(self, name: str) -> Iterator[tuple[SourceObject, Iterator[bytes]]]:
        """Read a whole object by the response that describes it."""
        described: list[SourceObject] = []

        @contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            with take(self._source, name) as (found, chunks):
                described.append(found)
                yield chain((b"",), chunks)

        with closing(_from_thread(opened, self._check)) as chunks:
            next(chunks)  # empty: the description has arrived
            yield described[0], chunks

    def switch_decoding(self, name: str) -> str:
        """From now on decode an object or not, unlike before; see `model.switch_decoding`."""
        return switch_decoding(self._source, name)

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
    """Yield the items of the block from another thread, in order; leaving early cancels it."""
    queue: BoundedQueue[T] = BoundedQueue()
    queue.feed(opened, "source")
    try:
        yield from queue.items(check)
    finally:
        queue.abandon()
