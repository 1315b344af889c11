"""The calls as methods that block, over the connections of `Transport`."""

import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from staging_api.client.calls import Calls
from staging_api.client.connections import Content, Response
from staging_api.client.coroutines import complete, each, within
from staging_api.client.pacing import Deadline
from staging_api.client.transport import Transport

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

P = ParamSpec("P")
T = TypeVar("T")

_CHUNK_BYTES = 1 << 16


class Blocking:
    """A part of a client whose methods block."""

    def __init__(self, calls: Calls) -> None:
        """Share the client's connections."""
        self._calls = calls


def once(
    call: Callable[Concatenate[Calls, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Blocking, P], T]:
    """Make a method of a call that returns."""

    @wraps(call)
    def method(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return complete(call(self._calls, *args, **kwargs))

    return method


def many(
    call: Callable[Concatenate[Calls, P], AsyncIterator[T]],
) -> Callable[Concatenate[Blocking, P], Iterator[T]]:
    """Make a method of a call that yields."""

    @wraps(call)
    def method(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[T]:
        return each(call(self._calls, *args, **kwargs))

    return method


def block(
    call: Callable[Concatenate[Calls, P], AbstractAsyncContextManager[T]],
) -> Callable[Concatenate[Blocking, P], AbstractContextManager[T]]:
    """Make a method of a call that is for a ``with`` block."""

    @wraps(call)
    def method(self: Blocking, /, *args: P.args, **kwargs: P.kwargs) -> AbstractContextManager[T]:
        return within(call(self._calls, *args, **kwargs))

    return method


class BlockingCalls(Blocking):
    """The building blocks of calls, for work that blocks anyway, as it reads and writes files."""

    def __init__(self, transport: Transport, timeout: float) -> None:
        """Send nothing yet; `timeout` is that of a call, in seconds."""
        super().__init__(Calls(BlockingConnections(transport), timeout))
        self.transport = transport

    ask = once(Calls.ask)
    pages = many(Calls.pages)


class BlockingConnections:
    """`Connections` that block."""

    def __init__(self, transport: Transport) -> None:
        """Send nothing yet."""
        self._transport = transport
        self.base_url = transport.base_url
        self.pacing = transport.pacing

    @property
    def reached(self) -> bool:
        """Whether the service ever answered."""
        return self._transport.reached

    @asynccontextmanager
    async def sent(
        self,
        method: str,
        path: str,
        deadline: Deadline,
        headers: Mapping[str, str],
        content: Content | None = None,
    ) -> AsyncIterator[Response]:
        """Send a request once; read its answer within the block."""
        with self._transport.sent(method, path, deadline, headers, content) as answer:
            yield _BlockingResponse(answer)

    async def pause(self, seconds: float) -> None:
        """Block so long."""
        time.sleep(seconds)  # noqa: ASYNC251 - over connections that block

    async def on_disk(self, work: Callable[[Transport], T], _deadline: Deadline) -> T:
        """Do the work here and now."""
        return work(self._transport)


class _BlockingResponse:
    def __init__(self, answer: "BaseHTTPResponse") -> None:
        self._answer = answer
        self.status: int = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def read(self) -> bytes:
        return self._answer.read()

    async def chunk(self) -> bytes:
        # What has come: a wait for a full chunk would hold back events.
        return self._answer.read1(_CHUNK_BYTES, decode_content=False)
