"""Queries, bodies and headers of requests to our own document routes."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field

from staging_api.http.bodies import Body, Text
from staging_api.vocabulary.documents import Outcome

_BIGINT = (1 << 63) - 1
Number = Annotated[int, Field(ge=0, le=_BIGINT)]
Reason = Annotated[Text, Field(min_length=1, max_length=500)]


def _storable(value: Any) -> Any:
    """Return JSON that a table can store, that is without NUL characters in its texts."""
    # A loop, not a recursion: the JSON may be nested about as deep as Python's stack allows.
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


# Not a `Body`: a request has other headers, too.
class KnownHeaders(BaseModel):
    """The version that a reader has already."""

    if_none_match: str | None = Field(
        None, alias="If-None-Match", description="the known ETag: 304 while it is current"
    )


class ChangeHeaders(BaseModel):
    """Headers of a request that changes documents."""

    prefer: str | None = Field(
        None, alias="Prefer", description="`wait=N`: wait at most N seconds for the lock"
    )


class ConditionalHeaders(ChangeHeaders):
    """Headers of a request that changes the buffer."""

    if_match: str | None = Field(
        None, alias="If-Match", description="the ETag of the buffer: 409 if the buffer has changed"
    )


class OnceHeaders(ChangeHeaders):
    """Headers that make repeated requests change something only once."""

    idempotency_key: str | None = Field(
        None,
        alias="Idempotency-Key",
        description="a request repeated with the same key gets the same response",
    )


class RollbackHeaders(ConditionalHeaders, OnceHeaders):
    """Headers of a rollback."""


class RevisionQuery(Body):
    """Position and length of a page of revisions."""

    limit: int = Field(100, ge=1, le=1000)
    before: Number | None = Field(None, description="the `next` of the previous page")


class ReasonQuery(Body):
    """Reason for a change."""

    reason: Reason | None = None


class RollbackRequest(Body):
    """Options of a rollback, which makes an older revision the buffer."""

    over_buffer: bool = Field(False, description="permit dropping the buffer")
    reason: Reason | None = None


class TagRequest(Body):
    """Data that is stored with a tag."""

    data: Data = None
    reason: Reason | None = None


class SiteActionRequest(Body):
    """Result of a site action."""

    outcome: Outcome
    revision: Number | None = Field(None, description="a committed revision; default: the newest")
    data: Data = None
    require_staged: bool = Field(
        False, description="refuse unless every build named in its documents is staged"
    )
    reason: Reason | None = None


class DocumentQuery(Body):
    """Version of a document, and the parts of it to return."""

    version: Text = Field(
        "buffer", max_length=30, description="a version, or the number of a revision"
    )
    provenance: bool = Field(False, description="include the origin of each value")
    path: Text = Field(".", min_length=1, max_length=500, description="path of one value: .a.b[0]")
    cleartext_secrets: bool = Field(
        False, alias="cleartext-secrets", description="show secrets; for operators"
    )


class DifferencesQuery(Body):
    """The two versions to compare, and the form of the comparison."""

    old: Text = Field("committed", max_length=30, description="a version, or a revision's number")
    new: Text = Field("buffer", max_length=30, description="a version, or a revision's number")
    rendered: bool = Field(False, description="compare rendered documents, not the posted ones")
    cleartext_secrets: bool = Field(
        False, alias="cleartext-secrets", description="show secrets; for operators"
    )
    limit: int = Field(
        100, ge=1, le=1000, description="maximum number of documents; fewer if they are long"
    )
    after: Text | None = Field(
        None, min_length=1, max_length=2000, description="the `next` of the previous page"
    )
