"""Pieces that a thread of its own makes while those before them are worked on.

So a source sends while what came is unpacked, and unpacking has one processor while hashing and
writing what came out has another. A lane holds a piece or two: neither end runs away. The exception
that ends the one end is raised at the other.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Between two looks whether to go on, while nothing comes.
_LOOK_SECONDS = 0.25
#: So many pieces may wait to be taken.
_AHEAD = 2


@contextmanager
def ahead(pieces: Generator[T, None, None]) -> Iterator[Iterator[T]]:
    """The same pieces, made by another thread; it has ended when the block has.

    So what the pieces are made of may be closed after the block. Should the block end early, the
    thread ends with the piece that it makes, or at once if it waits at another lane.
    """
    lane: Lane[T] = Lane()
    thread = lane.feed(lambda: closing(pieces), "ahead")
    try:
        with closing(lane.pieces()) as taken:
            yield taken
    finally:
        lane.leave()
        thread.join()


class _LeftError(Exception):
    """What this thread makes is not wanted any more."""


class Lane(Generic[T]):
    """Pieces on their way from one thread to another."""

    def __init__(self) -> None:
        """Nothing is on its way."""
        self._pieces: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._left = False
        self._error: BaseException | None = None

    def feed(
        self, opened: Callable[[], AbstractContextManager[Iterator[T]]], name: str
    ) -> threading.Thread:
        """Have a thread bring what comes out of the block, until nobody wants it any more."""
        run = copy_context().run
        # A daemon, so that one that waits for a silent source keeps no process from its end.
        thread = threading.Thread(target=run, args=(self._bring, opened), name=name, daemon=True)
        thread.start()
        return thread

    @property
    def is_left(self) -> bool:
        """Whether nobody takes anything any more."""
        return self._left

    def leave(self) -> None:
        """Nobody takes anything any more."""
        with self._changed:
            self._left = True
            self._pieces.clear()
            self._changed.notify_all()

    def pieces(self, check: Callable[[], None] = lambda: None) -> Generator[T, None, None]:
        """Take what comes; `check` is asked while nothing does."""
        fed = _fed.get()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._pieces or self._ended, _LOOK_SECONDS)
                piece = [self._pieces.popleft()] if self._pieces else []
                over = self._ended and not piece
                self._changed.notify_all()
            if over:
                if self._error is not None:
                    raise self._error
                return
            if not piece:
                if fed is not None and fed.is_left:
                    raise _LeftError
                check()
            yield from piece

    def _bring(self, opened: Callable[[], AbstractContextManager[Iterator[T]]]) -> None:
        _fed.set(self)
        try:
            with opened() as pieces:
                for piece in pieces:
                    if not self._put(piece):
                        break
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._end(error)
        else:
            self._end(None)

    def _put(self, piece: T) -> bool:
        """Hand on a piece once there is room; False: nobody wants it."""
        with self._changed:
            self._changed.wait_for(lambda: self._left or len(self._pieces) < _AHEAD)
            self._pieces.append(piece)
            self._changed.notify_all()
            return not self._left

    def _end(self, error: BaseException | None) -> None:
        """Nothing more comes, because of `error` if there was one."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()


#: The lane that this thread feeds.
_fed: ContextVar[Lane[Any] | None] = ContextVar("fed", default=None)
