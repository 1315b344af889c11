"""Response bodies of our own document routes, beside those of configdocs."""

from datetime import datetime
from typing import Any, Self

from pydantic import ConfigDict, Field

from staging_api.documents.differences import DocumentChange
from staging_api.documents.model import Identity
from staging_api.documents.paths import path_text
from staging_api.documents.reader import BufferState
from staging_api.http.bodies import Body, NounBody, Ulid
from staging_api.vocabulary.documents import Change, RevisionKind


class CommitBody(NounBody):
    """A revision that was committed."""

    forced: bool = Field(description="committed although its validations failed")
    caller: str
    reference_id: str | None
    reason: str | None
    lock_id: Ulid
    created_at: datetime
    confirm_until: datetime | None = Field(
        description="when the commit is undone, unless confirmed"
    )
    confirmed_at: datetime | None
    confirmed_by: str | None
    undone_in: int | None = Field(description="the revision that undid the commit")


class TagBody(NounBody):
    """A tag, that is a name of a revision."""

    tag: str
    data: Any
    caller: str
    reference_id: str | None
    reason: str | None
    created_at: datetime


class RevisionBody(NounBody):
    """One state of all documents, and its author."""

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


class RevisionList(Body):
    """A page of revisions, newest first."""

    items: list[RevisionBody]
    next: int | None = Field(description="`before` for the next page")


class UnconfirmedBody(NounBody):
    """A commit that is undone at a given time, unless it is confirmed before."""

    revision: int
    confirm_until: datetime


class BufferBody(NounBody):
    """The newest revision, as it would be committed."""

    revision: int
    committed: int = Field(description="the revision that a commit would supersede; 0: none")
    digest: str
    collections: list[str] = Field(description="collections that the buffer changes")
    unconfirmed: UnconfirmedBody | None = Field(
        description="the committed revision, if it waits for a confirmation"
    )

    @classmethod
    def of(cls, noun: BufferState) -> Self:
        """Build the body of the buffer."""
        return cls.filled(noun.buffer, collections=noun.collections, unconfirmed=noun.unconfirmed)


class IdentityBody(Body):
    """Identity of a document before rendering."""

    # As a field name, `schema` would hide a method of pydantic's models.
    model_config = ConfigDict(serialize_by_alias=True)
    schema_: str = Field(alias="schema")
    layer: str | None
    name: str

    @classmethod
    def of(cls, identity: Identity) -> Self:
        """Build the body of an identity; a missing layer is null, not empty."""
        return cls(schema=identity.schema, layer=identity.layer or None, name=identity.name)


class OriginBody(Body):
    """Where the value at a path was written, and how it reached this document."""

    path: str
    origin: str = Field(description="document and path of the origin, as text")
    document: IdentityBody
    origin_path: str
    secret: bool
    steps: list[str] = Field(description="substitutions and layering steps, the last one first")


class DocumentBody(Body):
    """A rendered document, its origins, and the documents that a change of it affects."""

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


class PathChangeBody(NounBody):
    """One path whose value differs."""

    path: str = Field(description="path in the whole document: .data.a[0]")
    change: Change
    old: Any = Field(description="null: absent; REDACTED: a secret")
    new: Any


class DocumentChangeBody(NounBody):
    """One document that differs."""

    collection: str
    document: IdentityBody
    change: Change
    moved_from: str | None = Field(description="the previous collection of the document")
    paths: list[PathChangeBody] = Field(description="changed paths of a modified document")
    text: str = Field(description="a unified diff of the documents as YAML")

    @classmethod
    def of(cls, noun: DocumentChange) -> Self:
        """Build the body of a change."""
        return cls.filled(
            noun,
            document=IdentityBody.of(noun.document),
            change=noun.change.value,
            paths=[
                PathChangeBody.filled(each, path=path_text(each.path), change=each.change.value)
                for each in noun.paths
            ],
        )


class DifferencesBody(Body):
    """Differences between two revisions, by collection, document and path."""

    old: int = Field(description="the previous revision; 0: none")
    new: int
    changes: list[DocumentChangeBody]
    next: str | None = Field(description="`after` for the next page")
