"""Bodies and queries of requests about stagings, their artifacts and files."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, Field

from staging_api.http.bodies import Body, Moment, NounBody, PageBody, PageQuery, Text, Ulid
from staging_api.http_url import static_url
from staging_api.staging.model import FileOfArtifact, StagedArtifact, Staging
from staging_api.vocabulary.staging import ArtifactState, Phase, StagingState


# Not a `Body`: a request has many other headers, and none is a mistake.
class StagingHeaders(BaseModel):
    """Preferences of a request for artifacts."""

    prefer: str | None = Field(
        None,
        alias="Prefer",
        description="`respond-async`: respond at once; `wait=N`: queue for at most N seconds",
    )
    idempotency_key: str | None = Field(
        None,
        alias="Idempotency-Key",
        description=(
            "the same key with the same body gets the same response, also if the first "
            "response was lost"
        ),
    )


class PollHeaders(BaseModel):
    """Preferences of a request that watches a staging."""

    prefer: str | None = Field(
        None, alias="Prefer", description="`wait=N`: respond when it changes, or after N seconds"
    )
    if_none_match: str | None = Field(
        None, alias="If-None-Match", description="the known ETag: 304 while it is current"
    )


class StagingRequest(Body):
    """Artifacts of an archive to stage."""

    archive_url: str = Field(min_length=1, max_length=8192, examples=["gs://builds/board/R17-1"])
    artifacts: list[Annotated[str, Field(min_length=1, max_length=200)]] | None = Field(
        default=None,
        min_length=1,
        max_length=100,
        description="names or groups of the catalogue; null: those of its `default`",
    )
    upload_wait_seconds: float | None = Field(
        default=None,
        ge=0,
        le=86400,
        description=(
            "how long to wait for an archive that may not exist yet, at most the "
            "server's longest wait; null: wait only for an upload that has begun"
        ),
    )


class FailureBody(NounBody):
    """Reason why something is not staged."""

    code: str
    retryable: bool
    message: str


class ProgressBody(Body):
    """Progress of a staging; null where it is not known yet."""

    bytes_done: int
    bytes_total: int | None
    bytes_per_second: float | None
    eta_seconds: float | None


class ArtifactBody(NounBody):
    """One staged artifact."""

    id: Ulid
    name: str
    phase: Phase
    state: ArtifactState
    path: str
    url: str | None = Field(
        description="path or URL of the artifact, percent-encoded; null until it is staged"
    )
    size_bytes: int | None
    sha256: str | None
    bytes_done: int
    bytes_total: int | None
    warnings: list[str] = Field(
        description=(
            "sentences about parts of its objects that were skipped, or read "
            "differently than declared"
        )
    )
    error: FailureBody | None

    @classmethod
    def of(cls, noun: StagedArtifact) -> Self:
        """Build the body of a row."""
        staged = noun.state == "staged"
        return cls.filled(
            noun,
            url=static_url(noun.path) if staged else None,
            size_bytes=noun.size_bytes if staged else None,
            sha256=noun.sha256 if staged else None,
            error=noun.failure,
        )


class FullArtifactBody(ArtifactBody):
    """One staged artifact, by itself."""

    archive_url: str
    staging_id: Ulid
    source_url: str | None
    source_version: str | None
    verified_by: str | None = Field(
        description=(
            "the digest that its content was compared with, its origin and signer: "
            "`sha256 of SHA256SUMS signed by OpenPGP 0123...`; null: none was declared"
        )
    )
    attempt: int
    created_at: datetime
    staged_at: datetime | None
    last_accessed_at: datetime | None
    pinned_until: datetime | None
    evicted_at: datetime | None


class ArtifactOfStaging(ArtifactBody):
    """One artifact of a staging; of a finished one, as it was for that staging."""

    brought_since_by: Ulid | None = Field(
        description="the later staging that staged it after this one had ended, or null"
    )


class StagingBody(NounBody):
    """One staging."""

    id: Ulid
    archive_url: str
    state: StagingState
    requested: list[str]
    caller: str
    reference_id: str | None
    created_at: datetime
    foreground_staged_at: datetime | None
    finished_at: datetime | None
    lock_id: Ulid | None
    attempt: int
    waiting_for: list[str] = Field(description="artifacts whose upload it is waiting for")
    progress: ProgressBody
    artifacts: list[ArtifactOfStaging]
    error: FailureBody | None

    @classmethod
    def of(cls, noun: Staging) -> Self:
        """Build the body of a staging."""
        return cls.filled(
            noun,
            progress=_progress(noun),
            artifacts=[ArtifactOfStaging.of(artifact) for artifact in noun.artifacts],
            error=noun.failure,
        )


class StagingList(PageBody[StagingBody]):
    """A page of stagings, newest first."""


class ArtifactList(PageBody[FullArtifactBody]):
    """A page of artifacts, newest first."""


class FileBody(NounBody):
    """One file of a staged artifact."""

    name: str = Field(description="path below the folder of the archive")
    path: str = Field(description="path below /static")
    url: str
    size_bytes: int
    sha256: str
    executable: bool

    @classmethod
    def of(cls, noun: FileOfArtifact) -> Self:
        """Build the body of a file."""
        return cls.filled(noun, url=static_url(noun.path))


class FileList(PageBody[FileBody]):
    """A page of files, ordered by path."""


class PinRequest(Body):
    """Time until which an artifact may not be evicted; null unpins it."""

    until: Moment | None = None


class StagingQuery(PageQuery):
    """Filters for stagings."""

    archive_url: Text | None = Field(None, description="archive_url in any spelling")
    prefix: Text | None = Field(None, description="prefix of the archive_url")
    state: StagingState | None = None
    error_code: Text | None = None
    caller: Text | None = None
    reference_id: Text | None = Field(None, description="X-Context-Marker of its request")
    since: Moment | None = None
    until: Moment | None = None


class ArtifactQuery(PageQuery):
    """Filters for artifacts."""

    archive_url: Text | None = Field(None, description="archive_url in any spelling")
    prefix: Text | None = Field(None, description="prefix of the archive_url")
    state: ArtifactState | None = None
    name: Text | None = None
    error_code: Text | None = None
    sha256: Text | None = Field(None, description="sha256 of its object, or of one of its files")
    path: Text | None = Field(
        None, description="path of the artifact or of one of its files: below /static, or as a URL"
    )
    pinned: bool = Field(False, description="only currently pinned artifacts")


def _progress(staging: Staging) -> ProgressBody:
    # An artifact that the archive lacks never gets a length, which would keep the sum unknown.
    totals = [a.bytes_total for a in staging.artifacts if a.state != "missing"]
    done = sum(a.bytes_done for a in staging.artifacts)
    total = None if None in totals else sum(filter(None, totals))
    rate = sum(a.bytes_per_second or 0.0 for a in staging.artifacts) or None
    eta = (total - done) / rate if total is not None and rate else None
    return ProgressBody(bytes_done=done, bytes_total=total, bytes_per_second=rate, eta_seconds=eta)
