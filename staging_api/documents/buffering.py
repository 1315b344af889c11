"""Rules for changing the buffer: pure functions of the committed and the newest collections.

All rules about buffer modes are in this module, because they are applied twice: before the work
starts, and again in the transaction that decides.
"""

from dataclasses import dataclass
from enum import StrEnum

from staging_api.documents import status
from staging_api.documents.refusals import BufferConflict, RequestInvalid, VersionNotFound
from staging_api.documents.stored import ContentRef, State


class BufferMode(StrEnum):
    """Behaviour of a post when the buffer is not empty."""

    REJECT_ON_CONTENTS = "rejectoncontents"
    APPEND = "append"
    REPLACE = "replace"


def buffer_mode(text: str | None) -> BufferMode:
    """Parse the buffer mode of a request, ignoring case; None or empty means the strictest mode.

    Raises:
        RequestInvalid: the text is not a buffer mode.
    """
    try:
        return BufferMode((text or BufferMode.REJECT_ON_CONTENTS).lower())
    except ValueError:
        raise RequestInvalid(
            "Invalid buffermode parameter specified",
            f"buffermode must be {', '.join(BufferMode)}, not {text}",
        ) from None


@dataclass(frozen=True)
class RevisionTarget:
    """The revision to create.

    Attributes:
        kind: as ``document_revisions.kind``.
        collections: all collections of the revision.
        copied_from: the revision that the collections were copied from, if they were copied.
    """

    kind: str
    collections: State
    copied_from: int | None = None


@dataclass(frozen=True)
class CurrentCollections:
    """The collections of the committed revision and of the newest revision."""

    committed_revision: int
    committed: State
    newest_revision: int
    newest: State

    @property
    def buffered(self) -> list[str]:
        """Names of the collections that the buffer changes; empty if the buffer is empty."""
        return status.changed(self.committed, self.newest)

    def posted(
        self, collection: str, content: ContentRef | None, mode: BufferMode
    ) -> RevisionTarget:
        """Set the content of a collection (None: remove the collection).

        Raises:
            BufferConflict: the buffer mode does not allow it.
            RequestInvalid: nothing would change.
        """
        buffered = self.buffered
        replaces = bool(buffered) and mode is BufferMode.REPLACE
        if not replaces:
            _check_mode(collection, mode, buffered)
        base = self.committed if replaces else self.newest
        collections = _with(base, collection, content)
        # A post that restores the committed content leaves nothing in the buffer that a client
        # could see.
        is_added = content is None or collection in status.changed(self.committed, collections)
        if not is_added or not status.changed(self.newest, collections):
            raise _not_added(collection)
        if replaces:
            return RevisionTarget("replaced", collections, self.committed_revision)
        return RevisionTarget("emptied" if content is None else "posted", collections)

    def discarded(self, collection: str | None) -> RevisionTarget | None:
        """Drop the buffer, or its change of one collection; None: there is nothing to drop.

        Raises:
            VersionNotFound: the buffer does not change that collection.
        """
        if collection is None:
            if not self.buffered:
                return None
            return RevisionTarget("discarded", self.committed, self.committed_revision)
        if collection not in self.buffered:
            raise VersionNotFound(
                "No documents to retrieve",
                f"the buffer does not change the collection {collection!r}",
            )
        collections = _with(self.newest, collection, self.committed.get(collection))
        return RevisionTarget("discarded", collections)

    def rolled_back(
        self, revision: int, collections: State, *, over_buffer: bool
    ) -> RevisionTarget:
        """Make an older revision the buffer.

        Raises:
            BufferConflict: there is a buffer and `over_buffer` is false, or nothing would change.
        """
        if self.buffered and not over_buffer:
            raise _refused_by(BufferMode.REJECT_ON_CONTENTS)
        if not status.changed(self.newest, collections):
            raise BufferConflict(
                "Nothing to roll back", f"the newest revision has what revision {revision} has"
            )
        return RevisionTarget("rolled_back", collections, revision)


def _with(collections: State, name: str, content: ContentRef | None) -> State:
    """Return a copy of the collections with one content replaced (None: removed)."""
    others = {each: held for each, held in collections.items() if each != name}
    return others if content is None else {**others, name: content}


def _check_mode(collection: str, mode: BufferMode, buffered: list[str]) -> None:
    if buffered and (mode is not BufferMode.APPEND or collection in buffered):
        raise _refused_by(mode)


def _refused_by(mode: BufferMode) -> BufferConflict:
    return BufferConflict(
        "Invalid collection specified for buffer",
        f"Buffermode : {mode}",
        [
            {
                "message": "Buffer is either not empty or the collection already exists in buffer."
                " Setting a different buffermode may provide the desired functionality",
                "error": True,
            }
        ],
    )


def _not_added(collection: str) -> RequestInvalid:
    return RequestInvalid(
        f"Collection {collection} not added to Shipyard buffer",
        "Collection created no new revision",
        [
            {
                "message": f"The collection {collection} holds just these documents already,"
                " so no new revision was made",
                "error": True,
            }
        ],
    )
