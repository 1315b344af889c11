"""The bodies of requests and answers: what OpenAPI shows and what validation holds them to."""

from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Generic, Literal, Self, TypeVar, get_args

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from staging_api.paging import Page

Ulid = Annotated[str, Field(pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]


def _storable(text: str) -> str:
    if "\0" in text:
        raise ValueError("must not contain a NUL character")
    return text


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("must lie in the years 1 to 9999, in UTC too") from None


#: A moment that comes in; in UTC, as PostgreSQL knows no offset of 16 hours or more.
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
#: Text that comes in and meets a table, which can hold anything but NUL.
Text = Annotated[str, AfterValidator(_storable)]


class Body(BaseModel):
    """Strict in what comes in: an unknown field is a mistake and is refused."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class NounBody(Body):
    """An answer with the fields of one of our nouns, and of the nouns that these hold."""

    # Not for what comes in: its errors would speak of objects and their attributes.
    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, noun: Any) -> Self:
        """The answer's form of it."""
        return cls.filled(noun)

    @classmethod
    def filled(cls, noun: Any, **own: Any) -> Self:
        """An answer with these values of its own; the other fields are as the noun's."""
        return cls(**{name: getattr(noun, name) for name in _read_from(cls, *own)}, **own)


Item = TypeVar("Item", bound=NounBody)


class PageBody(Body, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next: str | None

    @classmethod
    def of(cls, page: Page[Any]) -> Self:
        """The answer's form of a page."""
        (item,) = get_args(cls.model_fields["items"].annotation)
        return cls(items=[item.of(each) for each in page.items], next=page.next)


class FieldProblem(Body):
    """One wrong field."""

    field: str
    message: str


class HeldLock(Body):
    """The lock that is in the way: `id` and `holder` are null while it rests after an expiry."""

    id: Ulid | None
    kind: str
    scope: str
    holder: str | None
    reference_id: str | None
    acquired_at: datetime | None
    expires_at: datetime
    expires_in_seconds: float


class Problem(BaseModel):
    """RFC 9457: what went wrong, whether a retry can help, and the id to ask about."""

    # No `Body`: an error may bring members of its own, as `lock`, which clients pass over.

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    help: str = Field(description="where cause and cure of the code are told; a URL, or relative")
    request_id: str | None
    errors: list[FieldProblem] | None = None
    lock: HeldLock | None = None
    publication: dict[str, Any] | None = None


class PageQuery(Body):
    """Which page of a list."""

    limit: int = Field(100, ge=1, le=1000)
    after: Ulid | None = Field(
        None,
        description="the `next` of the page before; what is newer than the page it was given with"
        " is not among the pages that follow",
    )


class NameQuery(PageQuery):
    """Which page of a list that is ordered by text, such as a name."""

    after: Text | None = Field(None, description="the `next` of the page before")


class Ready(Body):
    """Each check, and what it found."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, str]


@cache
def _read_from(body: type[NounBody], *own: str) -> tuple[str, ...]:
    # Kept: to go through the fields each time doubled the time of an answer about a staging.
    names = (field.alias or name for name, field in body.model_fields.items())
    return tuple(name for name in names if name not in own)
