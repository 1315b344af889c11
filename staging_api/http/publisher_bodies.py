"""The bodies of the publisher's requests and answers."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator

from staging_api.http.bodies import Body, Page, Text, Ulid
from staging_api.publishing.model import (
    AptArchive,
    Distribution,
    Run,
    Suite,
)

ArchiveName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+-]{0,63}$")]
SuiteName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9][a-zA-Z0-9.+~_-]{0,127}$")]
Word = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
Line = Annotated[str, Field(max_length=500, pattern=r"^[^\x00-\x1f\x7f]*$")]
Form = Literal["plain", "gz", "xz", "zst"]
Operation = Literal["process-accepted", "publish-distro", "publish-ftpmaster"]
RunState = Literal["running", "succeeded", "published_hook_failed", "failed", "abandoned"]
UploadState = Literal["new", "unapproved", "accepted", "done", "rejected"]
PublicationState = Literal["pending", "published", "superseded", "deleted"]


class _Shown(Body):
    """An answer with the fields of one of our nouns."""

    @classmethod
    def of(cls, noun: Any) -> Self:
        """The answer's form of it."""
        return cls(**{name: getattr(noun, name) for name in cls.model_fields})


class OptionsBody(Body):
    """How thorough a run is, and where."""

    careful: bool = Field(False, description="all of the following")
    careful_publishing: bool = Field(False, description="look for the files of what is published")
    careful_domination: bool = Field(
        False, description="look at every package, not at changed ones"
    )
    careful_indices: bool = Field(False, description="make index files from all packages")
    careful_release: bool = Field(False, description="write new Releases even if nothing changed")
    suites: list[SuiteName] = Field(default=[], max_length=100, description="only these")


class PublicationRequest(Body):
    """Which operation, on which archive."""

    operation: Operation
    archive: ArchiveName
    options: OptionsBody = OptionsBody()


class PhaseBody(_Shown):
    """One phase of a run."""

    phase: str
    started_at: datetime
    finished_at: datetime | None


class HookBody(_Shown):
    """One of the operator's programs that a run started."""

    stage: Literal["before", "after"]
    name: str
    exit_code: int | None
    timed_out: bool
    seconds: float
    output: str


class PublicationBody(_Shown):
    """One run of the publisher."""

    id: Ulid
    operation: Operation
    archive: str
    options: dict[str, Any]
    state: RunState
    phase: str | None
    items_done: int = Field(description="of the phase")
    items_total: int | None = Field(description="of the phase")
    caller: str
    holder: str
    reference_id: str | None
    lock_id: Ulid
    started_at: datetime
    finished_at: datetime | None
    counts: dict[str, int]
    notes: list[str] = Field(description="what was tolerated")
    generation_id: Ulid | None
    error_code: str | None
    error_message: str | None
    phases: list[PhaseBody]
    hooks: list[HookBody]

    @classmethod
    def of(cls, noun: Run) -> Self:
        """The answer's form of a run."""
        own = {name: getattr(noun, name) for name in cls.model_fields}
        own["notes"] = list(noun.notes)
        own["phases"] = [PhaseBody.of(each) for each in noun.phases]
        own["hooks"] = [HookBody.of(each) for each in noun.hooks]
        return cls(**own)


class PublicationList(Body):
    """A page of runs, newest first."""

    items: list[PublicationBody]
    next: str | None


class PublicationQuery(Page):
    """Which runs."""

    archive: Text | None = None
    operation: Operation | None = None
    state: RunState | None = None


_EACH_ONCE: Any = {"uniqueItems": True}


class SuiteChange(Body):
    """What a suite is and has; what is not given stays as it is."""

    codename: SuiteName | None = None
    aliases: list[SuiteName] | None = Field(
        None, max_length=10, description="served alike", json_schema_extra=_EACH_ONCE
    )
    description: Line | None = None
    components: list[Word] | None = Field(
        None, min_length=1, max_length=100, json_schema_extra=_EACH_ONCE
    )
    architectures: list[Word] | None = Field(
        None, min_length=1, max_length=100, json_schema_extra=_EACH_ONCE
    )
    immutable: bool | None = Field(None, description="takes no packages any more")
    auto_accept: bool | None = Field(None, description="uploads wait for nobody's decision")
    not_automatic: bool | None = None
    but_automatic_upgrades: bool | None = None

    @field_validator("aliases", "components", "architectures")
    @classmethod
    def _each_once(cls, names: list[str] | None) -> list[str] | None:
        if names is not None and len(set(names)) < len(names):
            raise ValueError("must name each once")
        return names


class SuiteRequest(SuiteChange):
    """A new suite."""

    name: SuiteName


class SuiteBody(_Shown):
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
    dirty_since: datetime | None = Field(description="null: clients see all that is published")

    @classmethod
    def of(cls, noun: Suite) -> Self:
        """The answer's form of a suite."""
        return cls(**{name: _list(getattr(noun, name)) for name in cls.model_fields})


# No bound of ours, but far below that of the tables.
_TEN_YEARS_SECONDS = 10 * 366 * 24 * 3600


class ArchiveChange(Body):
    """How an archive is published; what is not given stays as it is."""

    origin: Line | None = None
    label: Line | None = None
    forms: list[Form] | None = Field(None, min_length=1, description="of index files")
    publish_by_hash: bool | None = None
    advertise_by_hash: bool | None = None
    valid_for_seconds: int | None = Field(
        None, ge=60, le=_TEN_YEARS_SECONDS, description="for Valid-Until"
    )
    retention_seconds: int | None = Field(
        None, ge=0, le=_TEN_YEARS_SECONDS, description="old generations stay so long"
    )
    quarantine_seconds: int | None = Field(
        None, ge=0, le=_TEN_YEARS_SECONDS, description="superseded files stay so long"
    )


class ArchiveRequest(ArchiveChange):
    """A new archive, with its suites."""

    name: ArchiveName
    suites: list[SuiteRequest] = Field(default=[], max_length=100)


class ArchiveBody(_Shown):
    """One archive."""

    name: str
    origin: str
    label: str
    forms: list[Form]
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
        """The answer's form of an archive."""
        names = [name for name in cls.model_fields if name not in ("suites", "url")]
        return cls(
            **{name: _list(getattr(noun, name)) for name in names},
            suites=[SuiteBody.of(suite) for suite in noun.suites],
            url=f"/archive/{noun.name}",
        )


class ArchiveList(Body):
    """All archives, by name."""

    items: list[ArchiveBody]
    next: str | None


class UploadBody(_Shown):
    """One package that somebody sent."""

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


class UploadList(Body):
    """Uploads."""

    items: list[UploadBody]
    next: str | None


class UploadQuery(Page):
    """Which uploads."""

    state: UploadState | None = None


class UploadTarget(Body):
    """Where packages go; for a body that is one package, its file name."""

    suite: SuiteName
    component: Word = "main"
    name: Text | None = Field(None, max_length=255, description="such as hello_1.0_amd64.deb")


class StagedUpload(Body):
    """Packages out of what has been staged."""

    staged: list[Annotated[str, Field(max_length=1024)]] = Field(
        min_length=1, max_length=1000, description="paths below /static"
    )


class Decision(Body):
    """Why an upload is accepted or rejected."""

    reason: Text = Field("", max_length=500)


class PackageBody(_Shown):
    """One package in a suite."""

    id: int
    suite: str
    component: str
    package: str
    version: str
    architecture: str
    state: PublicationState
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


class PackageList(Body):
    """A page of packages, in the order in which they came."""

    items: list[PackageBody]
    next: str | None


class PackageQuery(Body):
    """Which packages."""

    limit: int = Field(100, ge=1, le=1000)
    after: int = Field(0, ge=0, description="the `next` of the page before")
    suite: Text | None = None
    package: Text | None = None
    state: PublicationState | None = None


class DeletionRequest(Body):
    """Why a package is deleted from its suite."""

    reason: Text = Field(min_length=3, max_length=500)


class GenerationBody(_Shown):
    """One state of an archive's dists."""

    id: Ulid
    archive: str
    number: int
    content_number: int = Field(description="whose packages it lists")
    state: Literal["building", "live", "retired", "reaped", "abandoned"]
    run_id: Ulid | None
    created_at: datetime
    live_at: datetime | None
    retired_at: datetime | None
    pinned_at: datetime | None
    pinned_by: str | None


class GenerationList(Body):
    """A page of generations, newest first."""

    items: list[GenerationBody]
    next: str | None


class DistributionBody(Body):
    """What clients of an archive see."""

    archive: str
    url: str
    live: GenerationBody
    head: GenerationBody = Field(description="the newest; another than `live` after rolling back")
    changed_at: datetime
    changed_by: str

    @classmethod
    def of(cls, noun: Distribution) -> "DistributionBody":
        """The answer's form of a distribution."""
        return cls(
            archive=noun.archive,
            url=f"/archive/{noun.archive}",
            live=GenerationBody.of(noun.live),
            head=GenerationBody.of(noun.head),
            changed_at=noun.changed_at,
            changed_by=noun.changed_by,
        )


class DistributionList(Body):
    """All archives that have been published, by name."""

    items: list[DistributionBody]
    next: str | None


class RollbackRequest(Body):
    """Which generation's packages clients are to see again."""

    generation_id: Ulid


class ArchiveFileBody(Body):
    """One file of an archive."""

    path: str = Field(description="below the archive's root")
    sha256: str
    size_bytes: int


class ArchiveFileList(Body):
    """Files in the order in which a copy is to write them."""

    generation_id: Ulid
    items: list[ArchiveFileBody]
    next: str | None


class ArchiveFileQuery(Body):
    """Which files: those of the pool, or of the dists of one generation."""

    part: Literal["pool", "dists"] = "pool"
    generation_id: Ulid | None = Field(None, description="by default the one that is live")
    limit: int = Field(1000, ge=1, le=10_000, description="of the pool; dists come whole")
    after: Text = Field("", max_length=1024, description="the `next` of the page before")


def _list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
