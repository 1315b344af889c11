"""The answers of the document routes that are our own, beside those of configdocs."""

from datetime import datetime
from typing import Any

from pydantic import ConfigDict, Field

from staging_api.documents.differences import DocumentChange
from staging_api.documents.paths import path_text
from staging_api.documents.reader import BufferState
from staging_api.documents.stored import Revision
from staging_api.http.bodies import Body, NounBody, Ulid
from staging_api.vocabulary.documents import Change, RevisionKind


class CommitBody(NounBody):
    """That a revision was committed."""

    forced: bool = Field(description="although its validations had failed")
    caller: str
    reference_id: str | None
    reason: str | None
    lock_id: Ulid
    created_at: datetime
    confirm_until: datetime | None = Field(description="undone then, unless confirmed")
    confirmed_at: datetime | None
    confirmed_by: str | None
    undone_in: int | None = Field(description="the revision that undid it")


class TagBody(NounBody):
    """A name of a revision."""

    tag: str
    data: Any
    caller: str
    reference_id: str | None
    reason: str | None
    created_at: datetime


class RevisionBody(Body):
    """One state of all documents, and who made it."""

    number: int
    kind: RevisionKind
    collection: str | None
    copied_from: int | None
    digest: str
    caller: str
    reference_id: str | None
    reason: str | None
    lock_id: Ulid
    created_at: datetime
    commit: CommitBody | None
    tags: list[TagBody]

    @classmethod
    def of(cls, revision: Revision) -> "RevisionBody":
        """The answer's form of a revision."""
        own = {name: getattr(revision, name) for name in cls.model_fields if name not in _PARTS}
        return cls(
            **own,
            commit=revision.commit and CommitBody.of(revision.commit),
            tags=[TagBody.of(tag) for tag in revision.tags],
        )


_PARTS = ("commit", "tags")


class RevisionList(Body):
    """A page of revisions, newest first."""

    items: list[RevisionBody]
    next: int | None = Field(description="the `before` of the next page")


class UnconfirmedBody(NounBody):
    """A commit that is undone at a time, unless it is confirmed before."""

    revision: int
    confirm_until: datetime


class BufferBody(Body):
    """The newest revision, as it would be committed."""

    revision: int
    committed: int = Field(description="the revision that it would take the place of; 0: none")
    digest: str
    collections: list[str] = Field(description="those that it changes")
    unconfirmed: UnconfirmedBody | None = Field(
        description="the committed revision, if it is undone unless it is confirmed"
    )

    @classmethod
    def of(cls, state: BufferState) -> "BufferBody":
        """The answer's form of the buffer."""
        buffer, waiting = state.buffer, state.unconfirmed
        return cls(
            revision=buffer.revision,
            committed=buffer.committed,
            digest=buffer.digest,
            collections=state.collections,
            unconfirmed=waiting and UnconfirmedBody.of(waiting),
        )


class IdentityBody(Body):
    """What names a document before rendering."""

    model_config = ConfigDict(serialize_by_alias=True)
    schema_: str = Field(alias="schema")
    layer: str | None
    name: str


class OriginBody(Body):
    """Where the value at a path was written, and how it came here."""

    path: str
    origin: str = Field(description="document and path, as text")
    document: IdentityBody
    origin_path: str
    secret: bool
    steps: list[str] = Field(description="the last one first: who took it, by which instruction")


class DocumentBody(Body):
    """A rendered document, what it was made from, and what a change of it touches."""

    model_config = ConfigDict(serialize_by_alias=True)
    schema_: str = Field(alias="schema")
    name: str
    layer: str | None
    collection: str
    revision: int
    metadata: dict[str, Any]
    data: Any
    redacted: bool = Field(description="whether secrets are masked in it")
    parent: IdentityBody | None
    sources: list[IdentityBody]
    used_by: list[IdentityBody]
    provenance: list[OriginBody] | None


class PathChangeBody(Body):
    """One place that differs."""

    path: str = Field(description="in the whole document: .data.a[0]")
    change: Change
    old: Any = Field(description="null: it is not there; REDACTED: a secret")
    new: Any


class DocumentChangeBody(Body):
    """One document that differs."""

    collection: str
    document: IdentityBody
    change: Change
    moved_from: str | None = Field(description="the collection that it was in before")
    paths: list[PathChangeBody] = Field(description="of a modified document")
    text: str = Field(description="a unified diff of the documents as YAML")

    @classmethod
    def of(cls, change: DocumentChange) -> "DocumentChangeBody":
        """The answer's form of a change."""
        named = change.document
        return cls(
            collection=change.collection,
            document=IdentityBody(schema=named.schema, layer=named.layer or None, name=named.name),
            change=change.change.value,
            moved_from=change.moved_from,
            paths=[
                PathChangeBody(
                    path=path_text(each.path),
                    change=each.change.value,
                    old=each.old,
                    new=each.new,
                )
                for each in change.paths
            ],
            text=change.text,
        )


class DifferencesBody(Body):
    """What differs between two revisions, by collection, document and path."""

    old: int = Field(description="the revision before; 0: nothing")
    new: int
    changes: list[DocumentChangeBody]
    next: str | None = Field(description="the `after` of the next page")
