"""A call as a method of both kinds of client: the blocking and the asynchronous one."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from functools import wraps
from types import MethodType
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, overload

from staging_api.client.calls import Calls
from staging_api.client.coroutines import complete, each, within

P = ParamSpec("P")
T = TypeVar("T")
#: Return types of a method: for an asynchronous client, and for a blocking one.
Awaited = TypeVar("Awaited")
Blocked = TypeVar("Blocked")


class ClientPart:
    """A client, or a part of one."""

    def __init__(self, calls: Calls) -> None:
        """Use the client's connections."""
        self._calls = calls


class Blocking(ClientPart):
    """A part of a client whose methods block."""


class Awaiting(ClientPart):
    """A part of a client whose methods are coroutines."""


class ClientMethod(Generic[P, Awaited, Blocked]):
    """A call as a method of a `ClientPart`, whose type decides what the method returns."""

    def __init__(
        self, call: Callable[Concatenate[Calls, P], Awaited], wait: Callable[[Awaited], Blocked]
    ) -> None:
        """Wrap `call`; in a blocking client, `wait` turns its return value into the result."""

        @wraps(call)
        def method(part: ClientPart, /, *args: P.args, **kwargs: P.kwargs) -> Awaited | Blocked:
            made = call(part._calls, *args, **kwargs)  # noqa: SLF001 - a method of it
            return wait(made) if isinstance(part, Blocking) else made

        self._method = method

    @overload
    def __get__(self, part: Blocking, owner: type) -> Callable[P, Blocked]: ...

    @overload
    def __get__(self, part: Awaiting, owner: type) -> Callable[P, Awaited]: ...

    @overload
    def __get__(self, part: None, owner: type) -> Callable[..., Any]: ...

    def __get__(self, part: ClientPart | None, owner: type) -> Callable[..., Any]:
        return self._method if part is None else MethodType(self._method, part)


def once(
    call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> ClientMethod[P, Coroutine[Any, Any, T], T]:
    """Make a method from a call that returns a result."""
    return ClientMethod(call, complete)


def many(
    call: Callable[Concatenate[Calls, P], AsyncIterator[T]],
) -> ClientMethod[P, AsyncIterator[T], Iterator[T]]:
    """Make a method from a call that yields items."""
    return ClientMethod(call, each)


def block(
    call: Callable[Concatenate[Calls, P], AbstractAsyncContextManager[T]],
) -> ClientMethod[P, AbstractAsyncContextManager[T], AbstractContextManager[T]]:
    """Make a method from a call for a ``with`` or ``async with`` block."""
    return ClientMethod(call, within)
