"""Request and response bodies about APT archives, their suites, uploads and packages."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, field_validator

from staging_api.errors import Invalid
from staging_api.http.bodies import Body, NounBody, PageBody, PageQuery, Text, Ulid
from staging_api.publishing import rules
from staging_api.publishing.model import AptArchive
from staging_api.vocabulary.publishing import IndexForm, PublicationState, UploadState


def _checked_by(rule: Callable[[str, str], str]) -> AfterValidator:
    """Validate by a rule of the use case; the validation itself adds the location of the value."""

    def check(value: str) -> str:
        try:
            return rule("", value)
        except Invalid as error:
            raise ValueError(error.errors[0].message) from None

    return AfterValidator(check)


ArchiveName = Annotated[str, Field(pattern=rules.ARCHIVE_NAME)]
SuiteName = Annotated[str, Field(pattern=rules.SUITE_NAME)]
Component = Annotated[str, Field(pattern=rules.COMPONENT), _checked_by(rules.component)]
Architecture = Annotated[str, Field(pattern=rules.WORD), _checked_by(rules.architecture)]
Line = Annotated[str, Field(max_length=rules.MAX_LINE_LENGTH), _checked_by(rules.line)]

# Lists, not sets: a Release names components in the order in which they were sent.
_EACH_ONCE: Any = {"uniqueItems": True}
# The limit is arbitrary, and far below that of the tables.
_TEN_YEARS_SECONDS = 10 * 366 * 24 * 3600


def _each_once(names: list[str] | None) -> list[str] | None:
    if names is not None and len(set(names)) < len(names):
        raise ValueError("must name each once")
    return names


class SuiteChange(Body):
    """The fields of a suite; those that are left out stay unchanged."""

    codename: SuiteName | None = None
    aliases: list[SuiteName] | None = Field(
        None, max_length=10, description="further names of the suite", json_schema_extra=_EACH_ONCE
    )
    description: Line | None = None
    components: list[Component] | None = Field(
        None, min_length=1, max_length=100, json_schema_extra=_EACH_ONCE
    )
    architectures: list[Architecture] | None = Field(
        None, min_length=1, max_length=100, json_schema_extra=_EACH_ONCE
    )
    immutable: bool | None = Field(None, description="the suite accepts no more packages")
    auto_accept: bool | None = Field(None, description="uploads are accepted without approval")
    not_automatic: bool | None = None
    but_automatic_upgrades: bool | None = None

    _checked = field_validator("aliases", "components", "architectures")(_each_once)


class SuiteRequest(SuiteChange):
    """A new suite."""

    name: SuiteName


class SuiteBody(NounBody):
    """One suite."""

    name: str
    codename: str
    aliases: list[str]
    description: str
    components: list[str]
    architectures: list[str]
    immutable: bool
    auto_accept: bool
    not_automatic: bool
    but_automatic_upgrades: bool
    dirty_since: datetime | None = Field(
        description="when its packages changed; null: clients see all published packages"
    )


class ArchiveChange(Body):
    """The options of an archive; those that are left out stay unchanged."""

    origin: Line | None = None
    label: Line | None = None
    forms: list[IndexForm] | None = Field(
        None, min_length=1, description="forms of index files", json_schema_extra=_EACH_ONCE
    )
    publish_by_hash: bool | None = None
    advertise_by_hash: bool | None = None
    valid_for_seconds: int | None = Field(
        None, ge=60, le=_TEN_YEARS_SECONDS, description="validity of a Release, for Valid-Until"
    )
    retention_seconds: int | None = Field(
        None, ge=0, le=_TEN_YEARS_SECONDS, description="how long old generations are kept"
    )
    quarantine_seconds: int | None = Field(
        None, ge=0, le=_TEN_YEARS_SECONDS, description="how long superseded files are kept"
    )

    _checked = field_validator("forms")(_each_once)


class ArchiveRequest(ArchiveChange):
    """A new archive, with its suites."""

    name: ArchiveName
    suites: list[SuiteRequest] = Field(default=[], max_length=100)


class ArchiveBody(NounBody):
    """One archive."""

    name: str
    origin: str
    label: str
    forms: list[IndexForm]
    publish_by_hash: bool
    advertise_by_hash: bool
    valid_for_seconds: int | None
    retention_seconds: int
    quarantine_seconds: int
    created_at: datetime
    suites: list[SuiteBody]
    url: str = ""

    @classmethod
    def of(cls, noun: AptArchive) -> Self:
        """Build the body of an archive."""
        return cls.filled(noun, url=f"/archive/{noun.name}")


class ArchiveList(PageBody[ArchiveBody]):
    """All archives, by name."""


class UploadBody(NounBody):
    """One uploaded package."""

    id: Ulid
    archive: str
    suite: str
    component: str
    name: str
    state: UploadState
    package: str | None
    version: str | None
    architecture: str | None
    sha256: str | None
    caller: str
    reference_id: str | None
    created_at: datetime
    decided_at: datetime | None
    decided_by: str | None
    done_at: datetime | None
    attempts: int
    error_code: str | None
    error_message: str | None
    note: str | None = Field(
        description="what the sender should know although the package was accepted"
    )


class UploadList(PageBody[UploadBody]):
    """Uploads."""


class UploadQuery(PageQuery):
    """Filters for uploads."""

    state: UploadState | None = None


class UploadTarget(Body):
    """Destination of packages; for a body that is one package, also its file name."""

    suite: SuiteName
    component: Component = "main"
    name: Text | None = Field(None, max_length=255, description="such as hello_1.0_amd64.deb")


class StagedUpload(Body):
    """Packages to publish out of staged artifacts."""

    staged: list[Annotated[str, Field(max_length=4096)]] = Field(
        min_length=1, max_length=1000, description="paths below /static, or their URLs"
    )


class Decision(Body):
    """Reason to accept or reject an upload."""

    reason: Text = Field("", max_length=500)


class PackageBody(NounBody):
    """One package in a suite."""

    id: int
    suite: str
    component: str
    package: str
    version: str
    architecture: str
    state: PublicationState
    listed: bool = Field(description="whether the index files that clients see now list it")
    path: str
    sha256: str
    size_bytes: int
    created_at: datetime
    published_at: datetime | None
    ended_at: datetime | None
    superseded_by: int | None
    scheduled_deletion_at: datetime | None
    removed_at: datetime | None
    error_message: str | None


class PackageList(PageBody[PackageBody]):
    """A page of packages, in order of arrival."""


# Not a `PageQuery`: packages have numbers, not ULIDs.
class PackageQuery(Body):
    """Filters for packages."""

    limit: int = Field(100, ge=1, le=1000)
    after: int = Field(0, ge=0, description="the `next` of the previous page")
    suite: Text | None = None
    package: Text | None = None
    state: PublicationState | None = None


class DeletionRequest(Body):
    """Reason to delete a package from its suite."""

    reason: Text = Field(min_length=3, max_length=500)
