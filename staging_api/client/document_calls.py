"""Requests that the calls about documents share."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from staging_api.client.calls import API, Calls, idempotency_key, read
from staging_api.client.connections import SentRequest
from staging_api.client.pacing import Deadline, OnRetry
from staging_api.client.problems import problem
from staging_api.errors import AnswerUnusable

Document = Mapping[str, Any]


@dataclass(frozen=True)
class PostedCollection:
    """A collection as it was posted.

    Attributes:
        text: its documents, a YAML stream; empty if the buffer deletes the collection.
        etag: for `documents.create`, so that only this version of the collection is replaced; None
            if empty.
    """

    text: bytes
    etag: str | None


async def changed(
    calls: Calls,
    method: str,
    path: str,
    body: Document | None = None,
    *,
    content: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    on_retry: OnRetry | None = None,
) -> Document:
    """Send a change as JSON or as `content`; all attempts of a POST have one Idempotency-Key."""
    key = idempotency_key() if method == "POST" else {}
    given = {**key, **(headers or {})}
    reply = await calls.ask(
        method, path, body, given, content=content, on_retry=on_retry, queues=True
    )
    return read(dict, reply)


async def fetched(calls: Calls, path: str) -> PostedCollection:
    """Return documents as text."""
    deadline = Deadline(calls.timeout)
    headers = {"Accept": "application/x-yaml, application/json"}

    async def attempt() -> PostedCollection:
        request = SentRequest("GET", API + path, deadline, headers)
        async with calls.connections.sent(request) as answer:
            body = await answer.read()
            if answer.status >= 400:  # noqa: PLR2004 - errors, RFC 9110
                raise problem(answer.status, answer.headers, body)
            if answer.status != 200:  # noqa: PLR2004 - success, RFC 9110
                raise AnswerUnusable(f"status {answer.status} in the place of documents")
            return PostedCollection(body, answer.headers.get("ETag"))

    return await calls.tried(attempt, deadline)
