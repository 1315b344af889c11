"""Response bodies about the whole service: archives, callers, processes and counts."""

from datetime import datetime
from typing import Self

from pydantic import Field

from staging_api.http.bodies import Body, Moment, NameQuery, NounBody, PageBody, Text, Ulid
from staging_api.http_url import static_url
from staging_api.staging.counts import CountsPage
from staging_api.staging.lists import ArchiveSummary
from staging_api.vocabulary.reports import Interval, ProcessKind
from staging_api.vocabulary.staging import StagingState


class Start(Body):
    """Links to the parts of the service; browsers get a page instead."""

    name: str
    version: str = Field(description="version of the package")
    build: str = Field(description="digest of its code: equal digests mean equal code")
    links: dict[str, str] = Field(
        description="paths of the service's pages and collections, by name"
    )


class Me(Body):
    """The caller, as its credential identifies it."""

    name: str
    roles: list[str] = Field(description="in alphabetical order")
    may: list[str] = Field(
        description="operations that these roles permit: method and path, as in this document"
    )


class NewestStagingBody(NounBody):
    """The newest staging of an archive."""

    id: Ulid
    state: StagingState
    caller: str
    created_at: datetime


class RequestedArchiveBody(NounBody):
    """An archive that was requested at least once."""

    archive_url: str
    url: str = Field(description="URL of the folder with its files, percent-encoded")
    created_at: datetime = Field(description="when it was first requested")
    artifacts: dict[str, int] = Field(description="number of its artifacts by state")
    size_bytes: int = Field(description="total size of the objects of its staged artifacts")
    last_accessed_at: datetime | None
    pinned_until: datetime | None = Field(description="end of the latest pin, which may be past")
    staging: NewestStagingBody | None = Field(description="the newest staging of the archive")

    @classmethod
    def of(cls, noun: ArchiveSummary) -> Self:
        """Build the body of an archive."""
        return cls.filled(noun, url=static_url(f"{noun.static_prefix}/"))


class RequestedArchiveList(PageBody[RequestedArchiveBody]):
    """A page of archives, ordered by archive_url."""


class RequestedArchiveQuery(NameQuery):
    """Filters for archives."""

    prefix: Text = Field("", description="prefix of the archive_url")


class ProcessBody(NounBody):
    """A process of the service."""

    name: str = Field(description="its name, which is also the holder of its locks")
    kind: ProcessKind
    alive: bool = Field(description="whether it was seen within three beat intervals")
    version: str
    build: str = Field(description="digest of its code")
    # As a field name, `schema` would hide a method of pydantic's models.
    schema_: str = Field(alias="schema", description="schema revision that its code needs")
    address: str | None = Field(description="address where it listens")
    places: int = Field(description="maximum number of concurrent requests; of a worker: stagings")
    busy: int = Field(description="places in use")
    waiting: int = Field(description="requests that wait, without a place")
    threads: int
    draining: bool = Field(description="whether it is shutting down")
    refused: int = Field(description="requests of the last minute refused because of a held lock")
    started_at: datetime
    seen_at: datetime


class DatabaseBody(NounBody):
    """The database of the service."""

    version: str = Field(description="version of PostgreSQL")
    schema_: str | None = Field(alias="schema", description="revision of its schema")


class ProcessList(NounBody):
    """A page of processes, by name."""

    items: list[ProcessBody]
    next: str | None
    database: DatabaseBody


class IntervalBody(NounBody):
    """Counts of one interval."""

    began_at: datetime
    stagings: dict[str, int] = Field(
        description="number of stagings that entered a state, by state"
    )
    artifacts: dict[str, int] = Field(
        description="number of artifacts that entered a state, by state"
    )
    fetched_bytes: int = Field(description="bytes downloaded for artifacts that were staged")
    staged_bytes: int = Field(description="size of these artifacts")


class CountList(NounBody):
    """A page of intervals, the newest first."""

    items: list[IntervalBody]
    next: datetime | None
    counted_until: datetime | None = Field(
        description=(
            "events before this time are counted; null: none yet, because no worker has run"
        )
    )
    unfinished: dict[str, int] = Field(description="currently unfinished stagings, by state")
    to_do: dict[str, int] = Field(description="currently unfinished artifacts, by state")

    @classmethod
    def of(cls, noun: CountsPage) -> Self:
        """Build the body of a page."""
        return cls.filled(noun, next=noun.following)


class CountQuery(Body):
    """Filters for intervals."""

    by: Interval = "hour"
    limit: int = Field(
        24,
        ge=1,
        le=1000,
        description="number of intervals; counts are kept for 35 days, those of minutes for 2",
    )
    after: Moment | None = Field(
        None, description="the `next` of the previous page, where this page ends"
    )
