"""Asynchronous connections by aiohttp; each request is sent once.

Only work that reads and writes files runs in a thread, over blocking connections of its own: file
I/O has no asynchronous interface, and hashing occupies a processor.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, TypeVar

from staging_api.client.connections import (
    CONNECT_SECONDS,
    Response,
    SentRequest,
    checked,
    noted,
    silence_seconds,
)
from staging_api.client.pacing import Deadline, Pacing
from staging_api.client.transport import Transport
from staging_api.errors import (
    AnswerUnusable,
    DeadlineOver,
    Invalid,
    StagingApiError,
    Unavailable,
    Unreachable,
)

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientSession

T = TypeVar("T")

#: Longest wait of a cancelled call for its thread, which ends at its next bytes.
_LAST_BYTES_SECONDS = 5.0


class AsyncConnections:
    """`Connections` for one event loop."""

    def __init__(self, base_url: str, headers: Mapping[str, str], pacing: Pacing) -> None:
        """Prepare the connections without opening one; see `Transport`.

        Raises:
            Invalid: `base_url` is not an HTTP address, or aiohttp is not installed.
        """
        try:
            import aiohttp  # noqa: F401 - loaded by the first request, and looked for here
        except ModuleNotFoundError:
            raise Invalid.field(
                "client", "needs an optional extra: pip install 'staging_api[async]'"
            ) from None
        self.base_url = checked(base_url)
        self.pacing = pacing
        self.reached = False
        # aiohttp would request gzip and unpack it, but lengths and digests are of the bytes as
        # stored.
        self._headers = {"Accept-Encoding": "identity", **headers}
        self._session: ClientSession | None = None
        self._blocking = Transport(base_url, headers, pacing)

    async def close(self) -> None:
        """Close the connections."""
        self._blocking.close()
        if self._session is not None:
            await self._session.close()

    @asynccontextmanager
    async def sent(self, request: SentRequest) -> AsyncIterator[Response]:
        """Send a request once; read its response within the block."""
        import aiohttp
        from yarl import URL

        silence, began = silence_seconds(request.deadline), time.monotonic()
        content = request.content
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=min(silence, CONNECT_SECONDS), sock_read=silence
        )
        with self._translated_errors():
            async with self._opened().request(
                request.method,
                URL(self.base_url + request.path, encoded=True),
                data=content if content is None or isinstance(content, bytes) else _pieces(content),
                headers={**self._headers, **request.headers},
                timeout=timeout,
                allow_redirects=False,
            ) as answer:
                self.reached = True
                noted(request, answer.status, answer.headers, began)
                yield _AsyncResponse(answer)

    async def pause(self, seconds: float) -> None:
        """Sleep for `seconds`."""
        await asyncio.sleep(seconds)

    async def on_disk(self, work: Callable[[Transport], T], deadline: Deadline) -> T:
        """Run the work in a thread; cancelling the caller ends the work."""
        thread = asyncio.ensure_future(asyncio.to_thread(work, self._blocking))
        try:
            # A thread cannot be cancelled: shielded, it can be awaited below.
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            deadline.end()
            # Retrieve the exception, or asyncio logs that nothing did.
            thread.add_done_callback(lambda done: done.cancelled() or done.exception())
            await asyncio.wait([thread], timeout=_LAST_BYTES_SECONDS)
            raise

    def _opened(self) -> "ClientSession":
        """Return the session, created by the first request, to whose event loop it belongs."""
        if self._session is None:
            import aiohttp

            # As many connections as concurrent calls: a wait for a staging occupies one.
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self._session

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        import aiohttp

        try:
            yield
        except aiohttp.ClientSSLError as error:
            raise AnswerUnusable(f"{self.base_url}: TLS failed: {error}") from error
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise Unreachable(f"{self.base_url} cannot be reached: {_reason(error)}") from error
        except aiohttp.ServerTimeoutError as error:
            raise DeadlineOver(f"no answer in time from {self.base_url}") from error
        except aiohttp.ClientError as error:
            # A body that cannot be read is not a fault of the connection.
            if isinstance(error.__cause__, StagingApiError):
                raise error.__cause__ from None
            if "Got more than" in str(error):
                raise AnswerUnusable(f"{self.base_url} sent a header that is too long") from error
            raise Unavailable(f"{self.base_url} cannot be reached: {error}") from error


class _AsyncResponse:
    def __init__(self, answer: "ClientResponse") -> None:
        self._answer = answer
        self.status = answer.status
        self.headers: Mapping[str, str] = answer.headers

    async def read(self) -> bytes:
        return await self._answer.read()

    async def chunk(self) -> bytes:
        return await self._answer.content.readany()


def _reason(error: Exception) -> str:
    """Return the system's message; aiohttp's says less."""
    number = getattr(error, "errno", None) or 0
    return os.strerror(number) if number > 0 else str(error)


async def _pieces(content: Iterable[bytes]) -> AsyncIterator[bytes]:
    """Yield a body whose chunks are read from files, each in a thread."""
    pieces = iter(content)
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece
