"""The client's building blocks: one call with a typed answer, and a list read page by page."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from staging_api.client.connections import Connections, Content
from staging_api.client.exchange import Reply, exchange
from staging_api.client.pacing import Deadline, OnRetry
from staging_api.errors import AnswerUnusable

API = "/api/v1.0"
PAGE_SIZE = 100

A = TypeVar("A")
#: Makes a typed answer of a document.
Of = Callable[[Any], A]


@dataclass(frozen=True)
class Calls:
    """A client's connections and default time-out."""

    connections: Connections
    timeout: float

    async def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        content: Content | None = None,
        deadline: Deadline | None = None,
        on_retry: OnRetry | None = None,
        queues: bool = False,
    ) -> Reply:
        """Return the answer to a request, retried while that can help.

        Args:
            method: of HTTP.
            path: below `API`.
            body, headers, content, on_retry, queues: as for `exchange`.
            deadline: None is the default time-out from now.
        """
        return await exchange(
            self.connections,
            method,
            API + path,
            deadline or Deadline(self.timeout),
            body=body,
            content=content,
            headers=headers,
            on_retry=on_retry,
            queues=queues,
        )

    async def answer(
        self,
        of: Of[A],
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> A:
        """Return the typed answer to such a request."""
        return read(of, await self.ask(method, path, body, headers))

    async def document(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Mapping[str, Any]:
        """Return the answer as the service writes it."""
        found: Mapping[str, Any] = (await self.ask(method, path, body, headers)).document
        return found

    async def pages(
        self, of: Of[A], path: str, query: Mapping[str, object], page_size: int = PAGE_SIZE
    ) -> AsyncIterator[A]:
        """Yield all items of a list; the next page is requested when one has been read."""
        parameters = {name: value for name, value in query.items() if value is not None}
        parameters["limit"] = page_size
        while True:
            reply = await self.ask("GET", f"{path}?{urlencode(parameters)}")
            with understood():
                items = [of(item) for item in reply.document["items"]]
                following = reply.document.get("next")
            for item in items:
                yield item
            if following is None:
                return
            parameters["after"] = following


def read(of: Of[A], reply: Reply) -> A:
    """Return a typed answer.

    Raises:
        AnswerUnusable: it does not have the documented form.
    """
    with understood():
        return of(reply.document)


@contextmanager
def understood() -> Iterator[None]:
    """Turn a missing or wrong member of an answer into `AnswerUnusable`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnswerUnusable(f"the answer lacks a member, or has a wrong one: {error}") from error


def idempotency_key() -> dict[str, str]:
    """Return an Idempotency-Key for all tries of one POST, so that the service does it once."""
    return {"Idempotency-Key": str(uuid4())}


def with_query(path: str, query: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> str:
    """A path with those parameters that have a value."""
    given = query.items() if isinstance(query, Mapping) else query
    named = urlencode([(name, value) for name, value in given if value is not None])
    return f"{path}?{named}" if named else path


def time_text(time: datetime | None) -> str | None:
    """A time as requests write it."""
    return None if time is None else time.isoformat()
