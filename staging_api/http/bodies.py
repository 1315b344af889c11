"""Base models of request and response bodies, used by OpenAPI and by validation."""

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


#: A time in a request; in UTC, as PostgreSQL accepts no offset of 16 hours or more.
Moment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
#: Text in a request that is compared with or stored in a table: anything but NUL.
Text = Annotated[str, AfterValidator(_storable)]


class Body(BaseModel):
    """Strict model of a request body: an unknown field is a mistake and is refused."""

    model_config = ConfigDict(defer_build=True, extra="forbid", frozen=True)


class NounBody(Body):
    """A response body with the fields of a domain object, and of the objects inside it."""

    # Not for requests: its errors would speak of objects and their attributes.
    model_config = ConfigDict(from_attributes=True)

    @classmethod
    def of(cls, noun: Any) -> Self:
        """Build the body of a domain object."""
        return cls.filled(noun)

    @classmethod
    def filled(cls, noun: Any, **own: Any) -> Self:
        """Build the body with these values; the other fields are read from the domain object."""
        return cls(**{name: getattr(noun, name) for name in _read_from(cls, *own)}, **own)


Item = TypeVar("Item", bound=NounBody)


class PageBody(Body, Generic[Item]):
    """A page of a list."""

    items: list[Item]
    next: str | None

    @classmethod
    def of(cls, page: Page[Any]) -> Self:
        """Build the body of a page."""
        (item,) = get_args(cls.model_fields["items"].annotation)
        return cls(items=[item.of(each) for each in page.items], next=page.next)


class FieldProblem(Body):
    """One wrong field."""

    field: str
    message: str


class HeldLock(Body):
    """The lock that another holds: `id` and `holder` are null in the cool-down after expiry."""

    id: Ulid | None
    kind: str
    scope: str
    holder: str | None
    reference_id: str | None
    acquired_at: datetime | None
    expires_at: datetime
    expires_in_seconds: float


class Problem(BaseModel):
    """RFC 9457 problem: what went wrong, whether a retry can help, and the id to ask about."""

    # No `Body`: an error may have further members, such as `lock`, which clients ignore.

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    retryable: bool
    help: str = Field(description="page with cause and cure of the code; a URL, or relative")
    request_id: str | None
    errors: list[FieldProblem] | None = None
    lock: HeldLock | None = None
    publication: dict[str, Any] | None = None


class PageQuery(Body):
    """Position and length of a page in a list."""

    limit: int = Field(100, ge=1, le=1000)
    after: Ulid | None = Field(
        None,
        description=(
            "the `next` of the previous page; rows newer than that page are not listed "
            "on the following pages"
        ),
    )


class NameQuery(PageQuery):
    """Position and length of a page in a list that is ordered by text, such as a name."""

    after: Text | None = Field(None, description="the `next` of the previous page")


class Ready(Body):
    """Each check with its result."""

    status: Literal["ready", "not_ready"]
    checks: dict[str, str]


@cache
def _read_from(body: type[NounBody], *own: str) -> tuple[str, ...]:
    # Cached: iterating over the fields each time doubled the time of a response about a staging.
    names = (field.alias or name for name, field in body.model_fields.items())
    return tuple(name for name in names if name not in own)
