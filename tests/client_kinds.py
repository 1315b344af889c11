"""One interface to both clients: the asynchronous client runs in an event loop of its own."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from threading import Thread
from typing import Any, Self, cast

from staging_api.client import AsyncStagingClient, StagingClient
from staging_api.client.methods import Awaiting

#: Factory of a client.
Make = Callable[..., StagingClient]


def awaited(*arguments: Any, **keywords: Any) -> StagingClient:
    """Return an asynchronous client whose calls block."""
    return cast("StagingClient", _Client(*arguments, **keywords))


KINDS: dict[str, Make] = {"blocking": StagingClient, "async": awaited}


class _Part:
    """A group of client calls, whose results are awaited in the client's event loop."""

    def __init__(self, part: Awaiting, loop: asyncio.AbstractEventLoop) -> None:
        self._part, self._loop = part, loop

    def _result(self, awaited: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(awaited, self._loop).result(60)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if isinstance(found, Awaiting):
            return _Part(found, self._loop)
        return self._called(found) if callable(found) else found

    def _called(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            made = method(*arguments, **keywords)
            if isinstance(made, AbstractAsyncContextManager):
                return self._within(made)
            return self._each(made) if isinstance(made, AsyncIterator) else self._result(made)

        return call

    def _each(self, items: AsyncIterator[Any]) -> Iterator[Any]:
        async def following() -> Any:
            return await anext(items, self)

        while (item := self._result(following())) is not self:
            yield item

    @contextmanager
    def _within(self, entered: AbstractAsyncContextManager[Any]) -> Iterator[Any]:
        async def enter() -> Any:
            return await entered.__aenter__()

        async def leave() -> None:
            await entered.__aexit__(None, None, None)

        yield self._result(enter())
        self._result(leave())


class _Client(_Part):
    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        loop = asyncio.new_event_loop()
        self._thread = Thread(target=loop.run_forever)
        self._thread.start()
        try:
            super().__init__(AsyncStagingClient(*arguments, **keywords), loop)
        except BaseException:
            self._stop(loop)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._result(cast("AsyncStagingClient", self._part).aclose())
        self._stop(self._loop)

    def _stop(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(loop.stop)
        self._thread.join()
        loop.close()
