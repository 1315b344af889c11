"""The client's building blocks: one call with a typed answer, and a list read page by page."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode
from uuid import uuid4

from staging_api.client.pacing import Deadline
from staging_api.client.transport import Reply, Transport
from staging_api.errors import AnswerUnusable

API = "/api/v1.0"
PAGE_SIZE = 100

A = TypeVar("A")
#: Makes a typed answer of a document.
Of = Callable[[Any], A]


@dataclass(frozen=True)
class Calls:
    """A client's connections and default time-out."""

    transport: Transport
    timeout: float

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """Return the answer to a request, retried while that can help; `path` is below `API`."""
        return self.transport.exchange(
            method, API + path, Deadline(self.timeout), body=body, headers=headers
        )

    def answer(
        self,
        of: Of[A],
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> A:
        """Return the typed answer to such a request."""
        return read(of, self.ask(method, path, body, headers))

    def pages(
        self, of: Of[A], path: str, query: Mapping[str, object], page_size: int = PAGE_SIZE
    ) -> Iterator[A]:
        """Yield all items of a list; the next page is requested when one has been read."""
        parameters = {name: value for name, value in query.items() if value is not None}
        parameters["limit"] = page_size
        while True:
            reply = self.ask("GET", f"{path}?{urlencode(parameters)}")
            with understood():
                items = [of(item) for item in reply.document["items"]]
                following = reply.document.get("next")
            yield from items
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
