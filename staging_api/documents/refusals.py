"""Errors of document changes, with the texts that clients of configdocs know.

In the responses for these clients, ``title`` is ``message``, ``detail`` is ``reason``, and
``messages`` is the messageList.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from staging_api.errors import Conflict, Invalid, NotFound

Messages = Sequence[Mapping[str, Any]]


class RequestInvalid(Invalid):
    """A parameter or the body of a request is invalid."""

    code = "documents_request_invalid"

    def __init__(self, title: str, reason: str, messages: Messages = ()) -> None:
        super().__init__(reason)
        self.title, self.messages = title, messages


class BufferConflict(Conflict):
    """The state of the buffer does not allow the request."""

    code = "buffer_conflict"

    def __init__(
        self, title: str, reason: str, messages: Messages = (), *, retryable: bool = False
    ) -> None:
        super().__init__(reason)
        self.title, self.messages, self.retryable = title, messages, retryable


class VersionNotFound(NotFound):
    """The version does not exist, or does not have the collection."""

    code = "version_not_found"

    def __init__(self, title: str, reason: str) -> None:
        super().__init__(reason)
        self.title = title


def elsewhere(schema: str, name: str, collection: str) -> BufferConflict:
    """Build the error for a document or LayeringPolicy that is already in another collection."""
    return BufferConflict(
        "Documents may not exist in more than one collection",
        f"the document [{schema}, {name}] exists in the collection {collection!r} already"
        if not schema.startswith("deckhand/LayeringPolicy/")
        else f"a LayeringPolicy exists in the collection {collection!r} already,"
        f" so [{schema}, {name}] would be a second one",
    )


def moved(what: str, newest: int) -> BufferConflict:
    """Build the error for a buffer that has changed since it was reviewed."""
    return BufferConflict(
        "The buffer has moved",
        f"{what} is not the buffer any more: its revision is {newest}; review it and try again",
    )


def late(revision: int) -> BufferConflict:
    """Build the error for an overdue commit, which the reviewed buffer was compared with."""
    return BufferConflict(
        "A commit was not confirmed in time",
        f"the commit of revision {revision} was not confirmed in time and is undone, so the"
        " buffer is compared with the commit before: review it and try again",
    )
