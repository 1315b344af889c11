"""One call and what its answer is read as, or a list page by page: what the client is made of."""

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
#: Makes one of our words of a document of the service.
Of = Callable[[Any], A]


@dataclass(frozen=True)
class Calls:
    """The connections of a client, and how long one call may take."""

    transport: Transport
    timeout: float

    def ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Reply:
        """The answer to a request, sent again while that can help; `path` is below `API`."""
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
        """What the answer to such a request says."""
        return read(of, self.ask(method, path, body, headers))

    def pages(
        self, of: Of[A], path: str, query: Mapping[str, object], page_size: int = PAGE_SIZE
    ) -> Iterator[A]:
        """All items of a list; a page is asked for when the one before has been read."""
        asked = {name: value for name, value in query.items() if value is not None}
        asked["limit"] = page_size
        while True:
            reply = self.ask("GET", f"{path}?{urlencode(asked)}")
            with understood():
                items = [of(item) for item in reply.document["items"]]
                following = reply.document.get("next")
            yield from items
            if following is None:
                return
            asked["after"] = following


def read(of: Of[A], reply: Reply) -> A:
    """What an answer says.

    Raises:
        AnswerUnusable: it is not of the form that was promised.
    """
    with understood():
        return of(reply.document)


@contextmanager
def understood() -> Iterator[None]:
    """Turn what is missing in an answer, or wrong, into `AnswerUnusable`."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnswerUnusable(f"the answer lacks a member, or has a wrong one: {error}") from error


def once() -> dict[str, str]:
    """Sent with every try of one POST: the service does it once, and answers each alike."""
    return {"Idempotency-Key": str(uuid4())}
