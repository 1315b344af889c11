"""A source that is left as soon as nobody wants its bytes any more, also while it sends none.

A source that is silent holds whoever asks it until its time-outs, and their retries, are over. So
a thread of its own asks it, and whoever waits for that thread looks up four times a second, by
`check`: what that raises ends the wait. The thread reads ahead by a chunk or two, so the source
sends while the chunks before are hashed and written.

What becomes of a thread that was left? It ends with the next chunk, or when the source is closed:
http connections are hung up by that, the object stores' library ends by its own time-outs
(`SourceOptions.read_timeout_seconds`, as often as `attempts`). It writes nothing; what it brings is
dropped.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TypeVar

from staging_api.prefetch import BoundedQueue
from staging_api.sources.model import Source, SourceObject

T = TypeVar("T")


class Interruptible:
    """A source whose silence can be left."""

    def __init__(self, source: Source, check: Callable[[], None]) -> None:
        """Ask `source`; whatever `check` raises, from any thread that waits, ends the waiting."""
        self._source = source
        self._check = check

    @property
    def url(self) -> str:
        """The archive's canonical URL."""
        return self._source.url

    def names(self) -> list[str]:
        """Name every object of the archive."""
        return self._answer(self._source.names)

    def stat(self, name: str) -> SourceObject:
        """Describe one object."""
        return self._answer(lambda: self._source.stat(name))

    @contextmanager
    def open(
        self, found: SourceObject, start: int = 0, end: int | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Stream a part of one object."""
        chunks = _brought(lambda: self._source.open(found, start, end), self._check)
        with closing(chunks):
            yield chunks

    def close(self) -> None:
        """Let go of connections; what is still asked for ends."""
        self._source.close()

    def _answer(self, ask: Callable[[], T]) -> T:
        @contextmanager
        def asked() -> Iterator[Iterator[T]]:
            yield iter([ask()])

        with closing(_brought(asked, self._check)) as answers:
            return next(answers)


def _brought(
    opened: Callable[[], AbstractContextManager[Iterator[T]]], check: Callable[[], None]
) -> Generator[T, None, None]:
    """What a thread of its own gets out of the block, in order; left at once, if it is left."""
    queue: BoundedQueue[T] = BoundedQueue()
    queue.feed(opened, "source")
    try:
        yield from queue.items(check)
    finally:
        queue.abandon()
