"""Rows of the document tables, as frozen objects."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

BUFFER = "buffer"
COMMITTED = "committed"
LAST_SITE_ACTION = "last_site_action"
SUCCESSFUL_SITE_ACTION = "successful_site_action"
#: From the oldest to the newest; comparisons use this order.
VERSIONS = (SUCCESSFUL_SITE_ACTION, LAST_SITE_ACTION, COMMITTED, BUFFER)

#: Tags that define a version: set by the outcome of a site action, never by a caller.
SITE_ACTION_TAGS = ("site-action-success", "site-action-failure")
#: Tags that clients of Shipyard and Deckhand, the ancestors, interpret as a commit.
RESERVED_TAGS = (*SITE_ACTION_TAGS, "committed", "rollback_commit")


@dataclass(frozen=True)
class Versions:
    """The revision of each version; 0: the version does not exist.

    Attributes:
        newest: the newest revision; the buffer, if it is not committed.
    """

    newest: int
    committed: int
    last_site_action: int
    successful_site_action: int

    @property
    def buffer(self) -> int:
        """The newest revision, if it is newer than the committed one; else 0."""
        return self.newest if self.newest > self.committed else 0

    def named(self, version: str) -> int:
        """Return the revision of a version by name."""
        number: int = getattr(self, version)
        return number


@dataclass(frozen=True)
class ContentRef:
    """Reference to the content of a collection in a revision."""

    content_id: int
    digest: str


#: The collections of a revision, by name.
State = Mapping[str, ContentRef]


@dataclass(frozen=True)
class Stamp:
    """Author and reason of a change, and the lock grant it is made under."""

    caller: str
    holder: str
    reference_id: str | None
    reason: str | None
    lock_id: str
    fence: int


def stamped(stamp: Stamp) -> dict[str, Any]:
    """Return the columns filled from a stamp."""
    return asdict(stamp)


@dataclass(frozen=True)
class StoredBody:
    """A document of a content: either `body` as JSON, or `sealed`."""

    position: int
    schema: str
    name: str
    layer: str | None
    replacement: bool
    storage_policy: str
    body: str | None
    sealed: bytes | None


@dataclass(frozen=True)
class StoredContent:
    """A content for its row: compressed, and sealed if there is a `key_id`."""

    digest: str
    posted: bytes
    size_bytes: int
    key_id: str | None
    bodies: Sequence[StoredBody]


@dataclass(frozen=True)
class FoundText:
    """The stored text of a content."""

    posted: bytes
    key_id: str | None
    digest: str


@dataclass(frozen=True)
class DocumentElsewhere:
    """A document that is already in another collection."""

    schema: str
    name: str
    collection: str


@dataclass(frozen=True)
class Commit:
    """A commit of a revision, and its outcome."""

    revision: int
    forced: bool
    caller: str
    reference_id: str | None
    reason: str | None
    lock_id: str
    created_at: datetime
    confirm_until: datetime | None
    confirmed_at: datetime | None
    confirmed_by: str | None
    undone_in: int | None


@dataclass(frozen=True)
class Unconfirmed:
    """A commit that will be undone at `confirm_until` unless it is confirmed."""

    revision: int
    confirm_until: datetime


@dataclass(frozen=True)
class Tag:
    """A name of a revision."""

    revision: int
    tag: str
    data: Any
    caller: str
    reference_id: str | None
    reason: str | None
    created_at: datetime


@dataclass(frozen=True)
class Revision:
    """One state of all documents, and its author."""

    number: int
    kind: str
    collection: str | None
    copied_from: int | None
    digest: str
    caller: str
    reference_id: str | None
    reason: str | None
    lock_id: str
    created_at: datetime
    commit: Commit | None = None
    tags: tuple[Tag, ...] = ()


COMMIT_FIELDS = tuple(each.name for each in fields(Commit))
TAG_FIELDS = tuple(each.name for each in fields(Tag))
