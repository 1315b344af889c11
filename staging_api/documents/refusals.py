"""Why a change of documents is refused, in the words that clients of configdocs know.

``title`` is their ``message``, ``detail`` their ``reason``, and ``messages`` their messageList.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from staging_api.errors import Conflict, Invalid, NotFound

Messages = Sequence[Mapping[str, Any]]


class RequestInvalid(Invalid):
    """A parameter or the body of a request is wrong."""

    code = "documents_request_invalid"

    def __init__(self, title: str, reason: str, messages: Messages = ()) -> None:
        super().__init__(reason)
        self.title, self.messages = title, messages


class BufferConflict(Conflict):
    """The buffer is not as the request needs it."""

    code = "buffer_conflict"

    def __init__(
        self, title: str, reason: str, messages: Messages = (), *, retryable: bool = False
    ) -> None:
        super().__init__(reason)
        self.title, self.messages, self.retryable = title, messages, retryable


class VersionNotFound(NotFound):
    """There is no such version, or not this collection in it."""

    code = "version_not_found"

    def __init__(self, title: str, reason: str) -> None:
        super().__init__(reason)
        self.title = title


def elsewhere(schema: str, name: str, collection: str) -> BufferConflict:
    """A document, or a LayeringPolicy, is in another collection already."""
    return BufferConflict(
        "Documents may not exist in more than one collection",
        f"the document [{schema}, {name}] exists in the collection {collection!r} already"
        if not schema.startswith("deckhand/LayeringPolicy/")
        else f"a LayeringPolicy exists in the collection {collection!r} already,"
        f" so [{schema}, {name}] would be a second one",
    )


def moved(what: str, newest: int) -> BufferConflict:
    """The buffer is not what was reviewed."""
    return BufferConflict(
        "The buffer has moved",
        f"{what} is not the buffer any more: its revision is {newest}; review it and try again",
    )


def late(revision: int) -> BufferConflict:
    """The commit that this one would confirm is overdue; what was reviewed stands on it."""
    return BufferConflict(
        "A commit was not confirmed in time",
        f"the commit of revision {revision} was not confirmed in time and is undone, so the"
        " buffer is compared with the commit before: review it and try again",
    )
