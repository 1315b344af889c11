"""The requests that the methods of `Documents` are made of."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from staging_api.client.calls import API, Calls, idempotency_key
from staging_api.client.pacing import Deadline, OnRetry, retried
from staging_api.client.problems import problem
from staging_api.errors import AnswerUnusable

Document = Mapping[str, Any]


@dataclass(frozen=True)
class PostedCollection:
    """A collection as it was posted.

    Attributes:
        text: its documents, a YAML stream; empty where the buffer deletes it.
        etag: for `Documents.create`, so that only this version of it is replaced; None if empty.
    """

    text: bytes
    etag: str | None


class DocumentCalls:
    """Reads are sent again as those of the client are; a change has one Idempotency-Key."""

    def __init__(self, calls: Calls) -> None:
        """Share the client's connections."""
        self._calls = calls

    def _asked(self, method: str, path: str, body: Document | None = None) -> Document:
        found: Document = self._calls.ask(method, path, body).document
        return found

    def _changed(self, method: str, path: str, body: Document | None = None) -> Document:
        reply = self._calls.transport.exchange(
            method,
            API + path,
            Deadline(self._calls.timeout),
            body=body,
            headers=idempotency_key() if method == "POST" else None,
            queues=True,
        )
        found: Document = reply.document
        return found

    def _sent(
        self,
        path: str,
        query: Mapping[str, Any],
        content: bytes,
        *,
        headers: Mapping[str, str] | None = None,
        on_retry: OnRetry | None = None,
    ) -> Document:
        reply = self._calls.transport.exchange(
            "POST",
            API + with_query(path, query),
            Deadline(self._calls.timeout),
            content=content,
            headers={**idempotency_key(), **(headers or {})},
            on_retry=on_retry,
            queues=True,
        )
        found: Document = reply.document
        return found

    def _text(self, path: str) -> PostedCollection:
        deadline = Deadline(self._calls.timeout)
        transport = self._calls.transport
        headers = {"Accept": "application/x-yaml, application/json"}

        def fetched() -> PostedCollection:
            with transport.sent("GET", API + path, deadline, headers) as answer:
                body = answer.read()
                if answer.status >= 400:  # noqa: PLR2004 - errors, RFC 9110
                    raise problem(answer.status, answer.headers, body)
                if answer.status != 200:  # noqa: PLR2004 - success, RFC 9110
                    raise AnswerUnusable(f"status {answer.status} in the place of documents")
                return PostedCollection(body, answer.headers.get("ETag"))

        return retried(fetched, deadline, transport.pacing)


def with_query(path: str, query: Mapping[str, Any] | Sequence[tuple[str, Any]]) -> str:
    """A path with those parameters that have a value."""
    given = query.items() if isinstance(query, Mapping) else query
    named = urlencode([(name, value) for name, value in given if value is not None])
    return f"{path}?{named}" if named else path
