"""Run a coroutine that never waits for an event loop: its first step completes it.

Everything that such a coroutine awaits blocks this thread until it is done.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import TypeVar

T = TypeVar("T")


def complete(awaited: Awaitable[T]) -> T:
    """Return the result of the coroutine.

    Raises:
        RuntimeError: the coroutine waits for an event loop.
    """
    steps = awaited.__await__()
    try:
        next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("this coroutine waits for an event loop, and there is none")


def each(items: AsyncIterator[T]) -> Iterator[T]:
    """Yield the items, each produced when the caller requests it."""
    try:
        while True:
            try:
                item = complete(anext(items))
            except StopAsyncIteration:
                return
            yield item
    finally:
        if isinstance(items, AsyncGenerator):
            complete(items.aclose())


@contextmanager
def within(entered: AbstractAsyncContextManager[T]) -> Iterator[T]:
    """Enter the asynchronous context manager, and leave it at the end of the block."""
    value = complete(entered.__aenter__())
    try:
        yield value
    except BaseException as error:
        if not complete(entered.__aexit__(type(error), error, error.__traceback__)):
            raise
    else:
        complete(entered.__aexit__(None, None, None))
