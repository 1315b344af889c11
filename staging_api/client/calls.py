"""Building blocks of the client: one call with a typed response, and a list read page by page.

What if the service dies? Connection refused: the request is sent again. Killed after it read the
request, or before its response arrived: the same request is sent again, a POST with the same
Idempotency-Key, so that finished work is answered and not repeated. Frozen: the request is sent
again after two minutes without a byte, to the process that answers next.
"""

import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from staging_api.client.connections import Connections, Content, Response, SentRequest
from staging_api.client.pacing import Deadline, OnRetry, retrying
from staging_api.client.problems import problem
from staging_api.errors import AnswerUnusable, LockHeld

API = "/api/v1.0"
PAGE_SIZE = 100
#: Length of one wait in the service's queue for a lock; half of the service's default limit.
_QUEUE_SECONDS = 30.0
#: Time reserved for the response to a request that queues until shortly before its deadline.
_ANSWER_SECONDS = 1.0

A = TypeVar("A")
#: Builds a typed response from a document.
Of = Callable[[Any], A]


@dataclass(frozen=True)
class Reply:
    """A successful response; `document` is None if it has no body."""

    status: int
    headers: Mapping[str, str]
    document: Any


@dataclass(frozen=True)
class Calls:
    """Connections and default timeout of a client."""

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
        below: str = API,
    ) -> Reply:
        """Send a request, and repeat it as long as a retry can change the result.

        Args:
            method: HTTP method.
            path: path below `below`, quoted.
            body: sent as JSON.
            headers: further headers of this request.
            content: alternative to `body`: sent unchanged, from its beginning with each attempt.
            deadline: deadline of all attempts together; None is the default timeout from now.
            on_retry: called before each wait for a retry.
            queues: whether to wait in the service's queue for a held lock before a retry.
            below: base path, below the address of the service.

        Raises:
            StagingApiError: the error in the response; at the deadline, the last one.
            Unreachable: nothing listens at the address of the service.
            Unavailable: the service was out of reach for too long.
            DeadlineOver: the service accepted the request, and did not answer in time.
            AnswerUnusable: the response does not come from this service.
        """
        until = deadline or Deadline(self.timeout)
        content = content if body is None else json.dumps(body).encode()
        sent = {} if body is None else {"Content-Type": "application/json"}

        async def attempt() -> Reply:
            wait = _queue_seconds(until) if queues else 0
            given = _preferring({**sent, **(headers or {})}, wait)
            request = SentRequest(method, below + path, until, given, content)
            began = time.monotonic()
            try:
                async with self.connections.sent(request) as answer:
                    return await _reply(answer)
            except LockHeld as error:
                if wait and time.monotonic() - began >= wait:
                    # The request has waited in the service's queue: queue again at once.
                    error.retry_after_seconds = None
                raise

        return await self.tried(attempt, until, on_retry)

    async def tried(
        self,
        attempt: Callable[[], Awaitable[A]],
        deadline: Deadline,
        on_retry: OnRetry | None = None,
    ) -> A:
        """Await `attempt` until it succeeds, with `retrying`, over these connections."""
        return await retrying(
            attempt,
            deadline,
            self.connections.pacing,
            self.connections.pause,
            on_retry=on_retry,
            reached=lambda: self.connections.reached,
        )

    async def answer(
        self,
        of: Of[A],
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> A:
        """Send such a request and return its typed response."""
        return read(of, await self.ask(method, path, body, headers))

    async def pages(
        self,
        of: Of[A],
        path: str,
        query: Mapping[str, object],
        page_size: int = PAGE_SIZE,
        following: str = "after",
    ) -> AsyncIterator[A]:
        """Yield all items of a list; each page is requested when the one before has been read.

        Args:
            of: builds an item from its document.
            path: path below `API`.
            query: parameters; those with the value None are left out.
            page_size: number of items in one request.
            following: name of the parameter for the position at which a page ended.
        """
        parameters = {name: value for name, value in query.items() if value is not None}
        parameters["limit"] = page_size
        while True:
            reply = await self.ask("GET", f"{path}?{urlencode(parameters)}")
            with understood():
                items = [of(item) for item in reply.document["items"]]
                place = reply.document.get("next")
            for item in items:
                yield item
            if place is None:
                return
            parameters[following] = place


def read(of: Of[A], reply: Reply) -> A:
    """Return the typed response.

    Raises:
        AnswerUnusable: the response does not have the documented form.
    """
    with understood():
        return of(reply.document)


@contextmanager
def understood() -> Iterator[None]:
    """Turn a missing or wrong member of a response into `AnswerUnusable`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnswerUnusable(f"the answer lacks a member, or has a wrong one: {error}") from error


def idempotency_key() -> dict[str, str]:
    """Return an Idempotency-Key for all attempts of one POST, so that the service does it once."""
    return {"Idempotency-Key": str(uuid4())}


def with_query(path: str, query: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> str:
    """Return a path with those parameters that have a value."""
    given = query.items() if isinstance(query, Mapping) else query
    named = urlencode([(name, value) for name, value in given if value is not None])
    return f"{path}?{named}" if named else path


def time_text(time: datetime | None) -> str | None:
    """Format a time as requests contain it."""
    return None if time is None else time.isoformat()


def _queue_seconds(deadline: Deadline) -> int:
    """Return how long to queue: less than the deadline, so that the refusal still arrives."""
    return int(max(0.0, min(_QUEUE_SECONDS, deadline.remaining_seconds() - _ANSWER_SECONDS)))


def _preferring(headers: Mapping[str, str], wait: int) -> Mapping[str, str]:
    if not wait:
        return headers
    preferences = filter(None, [headers.get("Prefer"), f"wait={wait}"])
    return {**headers, "Prefer": ", ".join(preferences)}


async def _reply(answer: Response) -> Reply:
    body = await answer.read()
    if answer.status >= 400:  # noqa: PLR2004 - errors, RFC 9110
        raise problem(answer.status, answer.headers, body)
    if answer.status == 304:  # noqa: PLR2004 - Not Modified
        return Reply(answer.status, answer.headers, None)
    if answer.status >= 300:  # noqa: PLR2004 - redirections
        raise AnswerUnusable(f"the service is not here but at {answer.headers.get('Location')}")
    try:
        return Reply(answer.status, answer.headers, json.loads(body))
    except (ValueError, RecursionError):
        said = body[:100].decode(errors="replace")
        raise AnswerUnusable(f"status {answer.status} with what is not JSON: {said!r}") from None
