"""Produce items in another thread while the caller works on the previous ones.

A source sends while earlier bytes are unpacked; unpacking uses one processor, hashing and writing
another. The queue between two stages is bounded, so neither runs far ahead of the other. An
exception of the producer is raised in the consumer.
"""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Interval between two calls of `check` while the queue is empty.
_CHECK_SECONDS = 0.25
#: Capacity of the queue.
_CAPACITY = 2


@contextmanager
def prefetched(items: Generator[T, None, None]) -> Iterator[Iterator[T]]:
    """Yield the same items, produced by another thread that ends before the block does.

    So the inputs of `items` may be closed after the block. If the block ends early, the thread ends
    after its current item, or at once if it waits for another queue.
    """
    queue: BoundedQueue[T] = BoundedQueue()
    thread = queue.feed(lambda: closing(items), "prefetch")
    try:
        with closing(queue.items()) as prefetched_items:
            yield prefetched_items
    finally:
        queue.abandon()
        thread.join()


class BoundedQueue(Generic[T]):
    """Queue of items between two threads, at most `_CAPACITY` at a time."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ended = self._abandoned = False
        self._error: BaseException | None = None

    def feed(
        self, opened: Callable[[], AbstractContextManager[Iterator[T]]], name: str
    ) -> threading.Thread:
        """Start a thread that puts the items of the block into the queue, until `abandon`."""
        run = copy_context().run
        # A daemon, so that a thread waiting for a silent source does not keep the process alive.
        thread = threading.Thread(target=run, args=(self._produce, opened), name=name, daemon=True)
        thread.start()
        return thread

    @property
    def abandoned(self) -> bool:
        """Whether the consumer has stopped."""
        return self._abandoned

    def abandon(self) -> None:
        """Stop consuming, and let the producer end."""
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()

    def items(self, check: Callable[[], None] = lambda: None) -> Generator[T, None, None]:
        """Yield the items in order; call `check` while the queue is empty."""
        own_queue = _produces_for.get()
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._ended, _CHECK_SECONDS)
                item = [self._items.popleft()] if self._items else []
                over = self._ended and not item
                self._changed.notify_all()
            if over:
                if self._error is not None:
                    raise self._error
                return
            if not item:
                if own_queue is not None and own_queue.abandoned:
                    raise _AbandonedError
                check()
            yield from item

    def _produce(self, opened: Callable[[], AbstractContextManager[Iterator[T]]]) -> None:
        _produces_for.set(self)
        try:
            with opened() as items:
                for item in items:
                    if not self._put(item):
                        break
        except BaseException as error:  # noqa: BLE001 - raised in the consumer
            self._end(error)
        else:
            self._end(None)

    def _put(self, item: T) -> bool:
        """Add an item once there is room; return False if the consumer has stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._abandoned or len(self._items) < _CAPACITY)
            self._items.append(item)
            self._changed.notify_all()
            return not self._abandoned

    def _end(self, error: BaseException | None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()


class _AbandonedError(Exception):
    """Raised in a producer whose consumer has stopped."""


#: The queue for which this thread produces.
_produces_for: ContextVar[BoundedQueue[Any] | None] = ContextVar("produces_for", default=None)
