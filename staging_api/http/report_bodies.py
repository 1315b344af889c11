"""The bodies of answers about the service as a whole: archives, who asks, what there is."""

from datetime import datetime

from pydantic import Field

from staging_api.http.bodies import Body, Page, Text, Ulid
from staging_api.http_url import static_url
from staging_api.staging.lists import ArchiveSummary
from staging_api.vocabulary.staging import StagingState


class Start(Body):
    """Where everything is; for browsers there is a page instead."""

    name: str
    version: str = Field(description="of the package")
    build: str = Field(description="digest of its code: pods with the same one run the same")
    links: dict[str, str] = Field(description="paths, by what is there")


class Me(Body):
    """Who the caller is, by its credential."""

    name: str
    roles: list[str] = Field(description="in alphabetical order")
    may: list[str] = Field(
        description="what these roles allow: method and path of each operation, as in this document"
    )


class NewestStagingBody(Body):
    """The newest staging of an archive."""

    id: Ulid
    state: StagingState
    caller: str
    created_at: datetime


class RequestedArchiveBody(Body):
    """An archive that was requested at least once."""

    archive_url: str
    url: str = Field(description="of the folder with its files, percent-encoded")
    created_at: datetime = Field(description="when it was first requested")
    artifacts: dict[str, int] = Field(description="number of its artifacts by state")
    size_bytes: int = Field(description="of the objects of its staged artifacts")
    last_accessed_at: datetime | None
    pinned_until: datetime | None = Field(description="the latest pin, which may be over")
    staging: NewestStagingBody | None = Field(description="the newest: when it was last asked for")

    @classmethod
    def of(cls, archive: ArchiveSummary) -> "RequestedArchiveBody":
        """The answer's form of an archive."""
        newest = archive.staging
        return cls(
            archive_url=archive.archive_url,
            url=static_url(f"{archive.static_prefix}/"),
            created_at=archive.created_at,
            artifacts=dict(archive.artifacts),
            size_bytes=archive.size_bytes,
            last_accessed_at=archive.last_accessed_at,
            pinned_until=archive.pinned_until,
            staging=newest
            and NewestStagingBody(
                id=newest.id,
                state=newest.state,
                caller=newest.caller,
                created_at=newest.created_at,
            ),
        )


class RequestedArchiveList(Body):
    """A page of archives, ordered by archive_url."""

    items: list[RequestedArchiveBody]
    next: str | None


class RequestedArchiveQuery(Page):
    """Which archives."""

    after: Text | None = Field(None, description="the `next` of the page before")
    prefix: Text = Field("", description="with which the archive_url begins")
