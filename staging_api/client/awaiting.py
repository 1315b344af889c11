"""The calls as methods of a client for an event loop."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from staging_api.client.calls import Calls

P = ParamSpec("P")
T = TypeVar("T")


class Awaiting:
    """A part of a client whose methods are awaited."""

    def __init__(self, calls: Calls) -> None:
        """Share the client's connections."""
        self._calls = calls


def once(
    call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Awaiting, P], Coroutine[Any, Any, T]]:
    """Make a method of a call that returns."""
    return _method(call)


def many(
    call: Callable[Concatenate[Calls, P], AsyncIterator[T]],
) -> Callable[Concatenate[Awaiting, P], AsyncIterator[T]]:
    """Make a method of a call that yields."""
    return _method(call)


def block(
    call: Callable[Concatenate[Calls, P], AbstractAsyncContextManager[T]],
) -> Callable[Concatenate[Awaiting, P], AbstractAsyncContextManager[T]]:
    """Make a method of a call that is for an ``async with`` block."""
    return _method(call)


def _method(call: Callable[Concatenate[Calls, P], T]) -> Callable[Concatenate[Awaiting, P], T]:
    @wraps(call)
    def method(self: Awaiting, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return call(self._calls, *args, **kwargs)

    return method
