"""What the tables of documents hold, as frozen objects."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

BUFFER = "buffer"
COMMITTED = "committed"
LAST_SITE_ACTION = "last_site_action"
SUCCESSFUL_SITE_ACTION = "successful_site_action"
#: From the oldest to the newest, which is how two of them are compared.
VERSIONS = (SUCCESSFUL_SITE_ACTION, LAST_SITE_ACTION, COMMITTED, BUFFER)

#: Tags that make a version: set by the outcome of a site action, not by hand.
SITE_ACTION_TAGS = ("site-action-success", "site-action-failure")
#: Tags that clients of the ancestor take for a commit.
RESERVED_TAGS = (*SITE_ACTION_TAGS, "committed", "rollback_commit")


@dataclass(frozen=True)
class Versions:
    """The revision of each version; 0: there is none.

    Attributes:
        newest: the newest revision; the buffer, if it is not committed.
    """

    newest: int
    committed: int
    last_site_action: int
    successful_site_action: int

    @property
    def buffer(self) -> int:
        """The newest revision, if it is younger than the committed one."""
        return self.newest if self.newest > self.committed else 0

    def named(self, version: str) -> int:
        """The revision of a version, by its name."""
        number: int = getattr(self, version)
        return number


@dataclass(frozen=True)
class ContentRef:
    """The content that a collection has in a revision."""

    content_id: int
    digest: str


#: The collections of a revision, by name.
State = Mapping[str, ContentRef]


@dataclass(frozen=True)
class Stamp:
    """Who makes a change, why, and under which grant of the lock."""

    caller: str
    holder: str
    reference_id: str | None
    reason: str | None
    lock_id: str
    fence: int


def stamped(stamp: Stamp) -> dict[str, Any]:
    """The columns that a stamp fills."""
    return asdict(stamp)


@dataclass(frozen=True)
class StoredBody:
    """One document of a content: `body` as JSON, or `sealed`."""

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
    """A content as its row has it: compressed, and sealed if there is a `key_id`."""

    digest: str
    posted: bytes
    size_bytes: int
    key_id: str | None
    bodies: Sequence[StoredBody]


@dataclass(frozen=True)
class FoundText:
    """The text of a content, as its row has it."""

    posted: bytes
    key_id: str | None
    digest: str


@dataclass(frozen=True)
class DocumentElsewhere:
    """A document that is in another collection already."""

    schema: str
    name: str
    collection: str


@dataclass(frozen=True)
class Commit:
    """That a revision was committed, and what became of it."""

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
    """A commit that is undone at a time, unless it is confirmed before."""

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
    """One state of all documents, and who made it."""

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
