"""Request and response bodies about publisher runs, and about the distributions of archives."""

from datetime import datetime
from typing import Any, Literal, Self

from pydantic import Field

from staging_api.http.archive_bodies import ArchiveName, SuiteName
from staging_api.http.bodies import Body, NounBody, PageBody, PageQuery, Text, Ulid
from staging_api.publishing.model import Distribution
from staging_api.vocabulary.publishing import (
    GenerationState,
    HookStage,
    Operation,
    Purpose,
    RunState,
)


class OptionsBody(Body):
    """Thoroughness and extent of a run."""

    careful: bool = Field(False, description="all of the following options")
    careful_publishing: bool = Field(False, description="check the files of all published packages")
    careful_domination: bool = Field(
        False, description="examine every package, not only changed ones"
    )
    careful_indices: bool = Field(False, description="rebuild index files from all packages")
    careful_release: bool = Field(False, description="write new Releases even if nothing changed")
    suites: list[SuiteName] = Field(default=[], max_length=100, description="only these")


class PublicationRequest(Body):
    """The operation to run, and its archive."""

    operation: Operation
    archive: ArchiveName
    options: OptionsBody = OptionsBody()


class PhaseBody(NounBody):
    """One phase of a run."""

    phase: str
    started_at: datetime
    finished_at: datetime | None


class HookBody(NounBody):
    """One of the operator's programs (hooks) that a run started."""

    stage: HookStage
    name: str
    exit_code: int | None
    timed_out: bool
    seconds: float
    output: str


class PublicationBody(NounBody):
    """One run of the publisher."""

    id: Ulid
    operation: Operation
    purpose: Purpose | None = Field(
        None, description="what the run was made for, if not for the operation itself"
    )
    archive: str
    options: dict[str, Any]
    state: RunState
    phase: str | None
    items_done: int = Field(description="processed items of the phase")
    items_total: int | None = Field(description="all items of the phase; null: not known")
    caller: str
    holder: str
    reference_id: str | None
    lock_id: Ulid
    started_at: datetime
    finished_at: datetime | None
    counts: dict[str, int]
    notes: list[str] = Field(description="tolerated faults, and decisions of the run")
    generation_id: Ulid | None
    error_code: str | None
    error_message: str | None
    phases: list[PhaseBody]
    hooks: list[HookBody]


class PublicationList(PageBody[PublicationBody]):
    """A page of runs, newest first."""


class PublicationQuery(PageQuery):
    """Filters for runs."""

    archive: Text | None = None
    operation: Operation | None = None
    state: RunState | None = None


class GenerationBody(NounBody):
    """One state of an archive's dists."""

    id: Ulid
    archive: str
    number: int
    content_number: int = Field(description="number of the generation whose packages it lists")
    state: GenerationState
    run_id: Ulid | None
    created_at: datetime
    live_at: datetime | None
    retired_at: datetime | None
    pinned_at: datetime | None
    pinned_by: str | None


class GenerationList(PageBody[GenerationBody]):
    """A page of generations, newest first."""


class SuiteHoldBody(NounBody):
    """A suite that shows older packages until it is lifted."""

    suite: str
    generation_id: Ulid = Field(description="generation whose packages it shows")
    content_number: int = Field(description="number of the generation that showed them first")
    held_at: datetime
    held_by: str
    reason: str


class DistributionBody(NounBody):
    """The distribution of an archive, which is what its clients see."""

    archive: str
    url: str
    live: GenerationBody
    head: GenerationBody = Field(description="the newest generation without a held suite")
    held: list[SuiteHoldBody] = Field(description="suites that show older packages, by name")
    changed_at: datetime
    changed_by: str

    @classmethod
    def of(cls, noun: Distribution) -> Self:
        """Build the body of a distribution."""
        return cls.filled(noun, url=f"/archive/{noun.archive}")


class DistributionList(PageBody[DistributionBody]):
    """All archives that have been published, by name."""


class DistributionChange(Body):
    """The generation whose packages clients are to see again."""

    generation_id: Ulid
    suites: list[SuiteName] = Field(
        default=[], max_length=100, description="only these suites; empty for all"
    )
    reason: Text = Field("", max_length=500)


class HoldRequest(Body):
    """The packages at which a suite is held."""

    generation_id: Ulid | None = Field(
        None, description="default: the generation that clients see now"
    )
    reason: Text = Field("", max_length=500)


class ArchiveFileBody(NounBody):
    """One file of an archive."""

    path: str = Field(description="path below the archive's root")
    sha256: str
    size_bytes: int


class ArchiveFileList(NounBody):
    """Files in the order in which a copy must write them."""

    generation_id: Ulid
    items: list[ArchiveFileBody]
    next: str | None


class ArchiveFileQuery(Body):
    """Filters for files: those of the pool, or of the dists of one generation."""

    part: Literal["pool", "dists"] = "pool"
    generation_id: Ulid | None = Field(None, description="default: the live generation")
    limit: int = Field(
        1000, ge=1, le=10_000, description="maximum number of pool files; dists are always complete"
    )
    after: Text = Field("", max_length=1024, description="the `next` of the previous page")
