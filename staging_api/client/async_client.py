"""Client for programs with an event loop: every method is awaited.

Each method is a call from the module in its definition, where its arguments and errors are
described.
"""

from typing import Self
from uuid import UUID, uuid4

from staging_api.client.calls import Calls
from staging_api.client.client import ArchiveMethods, DocumentMethods, ServiceMethods, headers_of
from staging_api.client.methods import Awaiting
from staging_api.client.pacing import Pacing


class AsyncArchives(ArchiveMethods, Awaiting):
    """The APT archives that the service publishes: `AsyncStagingClient.archives`."""


class AsyncDocuments(DocumentMethods, Awaiting):
    """The configuration documents that the service keeps: `AsyncStagingClient.documents`."""


class AsyncStagingClient(ServiceMethods, Awaiting):
    """`StagingClient` for an event loop of asyncio, with the same methods as coroutines.

    Iterators are for ``async for``, and `borrow` is for ``async with``. Cancelling a call ends its
    request. Methods that write files do so in a thread, which calls their callbacks.

    Attributes:
        url: the address of the service.
        context_marker: UUID that is sent with all requests of this client: the `reference_id` of
            their locks and stagings.
        archives: the APT archives that the service publishes.
        documents: the configuration documents that the service keeps.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8080",
        *,
        token: str | None = None,
        timeout: float = 60.0,
        context_marker: UUID | None = None,
        pacing: Pacing | None = None,
    ) -> None:
        """Prepare the client without sending a request.

        Args:
            base_url: address of the service, with the path it is mounted at, if any.
            token: the caller's bearer token.
            timeout: seconds for a call, retries included, for methods without their own.
            context_marker: None makes a new one.
            pacing: parameters of retries.

        Raises:
            Invalid: `base_url` is not an HTTP address, or the extra ``async`` is not installed.
        """
        # Imported here: only this client needs an event loop and aiohttp.
        from staging_api.client.async_connections import AsyncConnections

        self.context_marker = context_marker or uuid4()
        headers = headers_of(token, self.context_marker)
        self._connections = AsyncConnections(base_url, headers, pacing or Pacing())
        super().__init__(Calls(self._connections, timeout))
        self.url = self._connections.base_url
        self.archives = AsyncArchives(self._calls)
        self.documents = AsyncDocuments(self._calls)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._connections.close()
