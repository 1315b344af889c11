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

import contextvars
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Generic, TypeVar

from staging_api.sources.model import Source, SourceObject

T = TypeVar("T")

#: Between two looks whether to go on, while nothing comes.
LOOK_SECONDS = 0.25
#: So many pieces may wait to be taken.
_AHEAD = 2


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
    """What a thread of its own gets out of the block, in order."""
    lane: _Lane[T] = _Lane()

    def bring() -> None:
        try:
            with opened() as pieces:
                for piece in pieces:
                    if not lane.put(piece):
                        break
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            lane.end(error)
        else:
            lane.end(None)

    # A daemon, so that a silent source does not keep a process from its end.
    run = contextvars.copy_context().run
    threading.Thread(target=run, args=(bring,), name="source", daemon=True).start()
    try:
        yield from lane.pieces(check)
    finally:
        lane.leave()


class _Lane(Generic[T]):
    """Pieces on their way from one thread to another."""

    def __init__(self) -> None:
        self._pieces: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._left = False
        self._error: BaseException | None = None

    def put(self, piece: T) -> bool:
        """Hand on a piece once there is room; False: nobody wants it."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or len(self._pieces) < _AHEAD)
            self._pieces.append(piece)
            self._changed.notify_all()
            return not self._left

    def end(self, error: BaseException | None) -> None:
        """Nothing more comes, because of `error` if there was one."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def leave(self) -> None:
        """Nobody takes anything any more."""
        with self._changed:
            self._left = True
            self._pieces.clear()
            self._changed.notify_all()

    def pieces(self, check: Callable[[], None]) -> Generator[T, None, None]:
        """Take what comes; `check` is asked while nothing does."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._ended, LOOK_SECONDS)
                piece = [self._pieces.popleft()] if self._pieces else []
                over = self._ended and not piece
                self._changed.notify_all()
            if over:
                if self._error is not None:
                    raise self._error
                return
            if not piece:
                check()
            yield from piece
