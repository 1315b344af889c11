"""Words for documents: kinds of revisions, events and changes; storage and buffer modes."""

from typing import Literal, get_args

#: The action that made a revision.
RevisionKind = Literal["posted", "emptied", "replaced", "discarded", "rolled_back", "undone"]
REVISION_KINDS: tuple[RevisionKind, ...] = get_args(RevisionKind)

EventKind = Literal["revision", "commit", "confirm", "undo", "tag", "untag"]
EVENT_KINDS: tuple[EventKind, ...] = get_args(EventKind)

#: Ways of storing a document's data; `staging_api.documents.model` has it as an enum.
StoragePolicy = Literal["cleartext", "encrypted"]
STORAGE_POLICIES: tuple[StoragePolicy, ...] = get_args(StoragePolicy)

#: Actions of a post on a buffer that is not empty; `staging_api.documents.buffering` has an enum.
BufferMode = Literal["rejectoncontents", "append", "replace"]
BUFFER_MODES: tuple[BufferMode, ...] = get_args(BufferMode)

#: Kinds of difference; `staging_api.documents.differences` has them as an enum.
Change = Literal["created", "deleted", "modified"]

#: Outcomes of a site action.
Outcome = Literal["success", "failure"]
