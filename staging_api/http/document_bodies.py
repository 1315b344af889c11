"""The bodies of the document routes that are our own, beside those of configdocs."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field

from staging_api.documents.changing import Buffer
from staging_api.documents.differences import DocumentChange
from staging_api.documents.paths import path_text
from staging_api.documents.stored import Revision
from staging_api.http.bodies import Body, Text, Ulid

_BIGINT = (1 << 63) - 1
Number = Annotated[int, Field(ge=0, le=_BIGINT)]
Reason = Annotated[Text, Field(min_length=1, max_length=500)]


def _storable(value: Any) -> Any:
    """JSON that a table can hold: no NUL character in any text."""
    waiting = [value]
    while waiting:
        part = waiting.pop()
        if isinstance(part, str) and "\0" in part:
            raise ValueError("must not contain a NUL character")
        if isinstance(part, dict):
            waiting += [*part, *part.values()]
        elif isinstance(part, list):
            waiting += part
    return value


Data = Annotated[Any, AfterValidator(_storable)]


class CommitBody(Body):
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


class TagBody(Body):
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
    kind: Literal["posted", "emptied", "replaced", "discarded", "rolled_back", "undone"]
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
        commit = revision.commit
        return cls(
            **own,
            commit=commit
            and CommitBody(**{name: getattr(commit, name) for name in CommitBody.model_fields}),
            tags=[
                TagBody(**{name: getattr(tag, name) for name in TagBody.model_fields})
                for tag in revision.tags
            ],
        )


_PARTS = ("commit", "tags")


class RevisionList(Body):
    """A page of revisions, newest first."""

    items: list[RevisionBody]
    next: int | None = Field(description="the `before` of the next page")


class RevisionQuery(Body):
    """Which page of the revisions."""

    limit: int = Field(100, ge=1, le=1000)
    before: Number | None = Field(None, description="the `next` of the page before")


class ReasonQuery(Body):
    """Why something is changed."""

    reason: Reason | None = None


class RollbackRequest(Body):
    """How the buffer is to become an older revision."""

    over_buffer: bool = Field(False, description="even if that drops what is buffered")
    reason: Reason | None = None


class TagRequest(Body):
    """What is to be kept with a tag."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    data: Data = None
    reason: Reason | None = None


class SiteActionRequest(Body):
    """How a site action ended."""

    outcome: Literal["success", "failure"]
    revision: Number | None = Field(None, description="a committed one; default: the newest")
    data: Data = None
    require_staged: bool = Field(
        False, description="refuse unless every build that its documents name is staged"
    )
    reason: Reason | None = None


class BufferBody(Body):
    """The newest revision, as it would be committed."""

    revision: int
    committed: int = Field(description="the revision that it would take the place of; 0: none")
    digest: str
    collections: list[str] = Field(description="those that it changes")

    @classmethod
    def of(cls, buffer: Buffer, collections: list[str]) -> "BufferBody":
        """The answer's form of the buffer."""
        return cls(
            revision=buffer.revision,
            committed=buffer.committed,
            digest=buffer.digest,
            collections=collections,
        )


class DocumentQuery(Body):
    """Which version of a document, and what of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    version: Text = Field(
        "buffer", max_length=30, description="a version, or the number of a revision"
    )
    provenance: bool = Field(False, description="say where each value came from")
    path: Text = Field(".", min_length=1, max_length=500, description="of one place: .a.b[0]")
    cleartext_secrets: bool = Field(
        False, alias="cleartext-secrets", description="show secrets; for operators"
    )


class IdentityBody(Body):
    """What names a document before rendering."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)
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

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)
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


class DifferencesQuery(Body):
    """Which versions are compared, and how."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)
    old: Text = Field("committed", max_length=30, description="a version, or a revision's number")
    new: Text = Field("buffer", max_length=30, description="a version, or a revision's number")
    rendered: bool = Field(False, description="compare what is rendered, not what was posted")
    cleartext_secrets: bool = Field(
        False, alias="cleartext-secrets", description="show secrets; for operators"
    )


class PathChangeBody(Body):
    """One place that differs."""

    path: str = Field(description="in the whole document: .data.a[0]")
    change: Literal["created", "deleted", "modified"]
    old: Any = Field(description="null: it is not there; REDACTED: a secret")
    new: Any


class DocumentChangeBody(Body):
    """One document that differs."""

    collection: str
    document: IdentityBody
    change: Literal["created", "deleted", "modified"]
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
