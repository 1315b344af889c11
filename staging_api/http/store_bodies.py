"""Request and response bodies of ``/store``."""

from datetime import datetime
from typing import Any, Self

from pydantic import Field, model_validator

from staging_api.http.bodies import Body, NounBody, PageBody, Text, Ulid
from staging_api.staging.reports import PruneRecord
from staging_api.staging.store_report import StoreReport
from staging_api.vocabulary.reports import Use


class UseBody(NounBody):
    """Number and size of the contents with one use."""

    use: Use = Field(
        description="the first that applies: packages of APT archives, pinned artifacts, artifacts"
        " read or staged within a week, others (`idle`), nothing that has a name (`unnamed`)"
    )
    blobs: int
    bytes: int = Field(description="of these contents, each counted once")
    files: int = Field(description="that name them; the small files of an artifact are one")
    file_bytes: int = Field(description="sum of their sizes: more than bytes where contents shared")


class LargeArchiveBody(NounBody):
    """One of the archives with the largest files."""

    archive_url: str
    artifacts: int
    bytes: int


class PrunedArtifactBody(NounBody):
    """An artifact of a prune."""

    id: Ulid
    archive_url: str
    name: str
    size_bytes: int


class IdleArtifactBody(PrunedArtifactBody):
    """A staged artifact that may be evicted."""

    idle_since: datetime


class ChecksBody(NounBody):
    """Results of the comparisons of the store with the tables."""

    shards: int = Field(description="parts of the store that were compared")
    checked_at: datetime | None = Field(description="when the part for which it is longest ago was")
    scrubbed_at: datetime | None = Field(description="likewise, when it was read again")
    lost: int = Field(description="contents that a row names and the store lacks")
    orphans: int = Field(description="contents of the store that no row names")


class StoreBody(NounBody):
    """The store."""

    identity: Ulid | None = Field(description="of its marker; null: none was bound yet")
    used_bytes: int = Field(description="of all contents, each counted once")
    garbage_bytes: int = Field(description="of these, contents that are about to be removed")
    reserved_bytes: int = Field(description="for artifacts and uploads in work, beside the used")
    quota_bytes: int | None = Field(description="null: as much as the disk has")
    free_bytes: int | None = Field(
        description="of its disk, of a bucket that of its spool; null: it does not answer"
    )
    counted_at: datetime | None = Field(description="when a worker counted usage and largest")
    usage: list[UseBody]
    largest: list[LargeArchiveBody]
    idlest: list[IdleArtifactBody]
    checks: ChecksBody
    lost_contents: int = Field(description="contents of packages that must be uploaded again")

    @classmethod
    def of(cls, noun: StoreReport) -> Self:
        """Build the body of a report."""
        return cls.filled(
            noun,
            used_bytes=noun.space.used,
            garbage_bytes=noun.space.garbage,
            reserved_bytes=noun.space.reserved,
            counted_at=min((used.counted_at for used in noun.usage), default=None),
        )


class PruneRequest(Body):
    """A request to preview a prune; or to do it, with the token of a preview and a reason."""

    idle_seconds: float | None = Field(
        None,
        ge=0,
        le=10 * 366 * 86400,
        description="preview: only artifacts not read for so long; null: as when space is needed",
    )
    keep_bytes: int = Field(
        0, ge=0, lt=1 << 62, description="preview: only until the store has no more than this"
    )
    token: Ulid | None = Field(None, description="of the preview that is to be done")
    reason: Text | None = Field(
        None, min_length=3, max_length=500, description="with a token: why, for the record"
    )

    @model_validator(mode="after")
    def _check(self) -> "PruneRequest":
        if (self.token is None) != (self.reason is None):
            raise ValueError("a token needs a reason, and a reason the token of a preview")
        if self.token is not None and (self.idle_seconds is not None or self.keep_bytes):
            raise ValueError("a token stands for what was previewed: give nothing else")
        return self


class PruneRecordBody(NounBody):
    """A prune: previewed, or done."""

    token: Ulid
    caller: str = Field(description="who previewed it")
    made_at: datetime
    expires_at: datetime = Field(description="it can be begun before then, once")
    idle_before: datetime = Field(description="artifacts that were read since then stay")
    keep_bytes: int
    previewed: int = Field(description="artifacts that were to be evicted")
    frees_bytes: int = Field(description="that evicting all of them frees")
    reason: str | None
    begun_by: str | None
    begun_at: datetime | None
    ended_at: datetime | None = Field(description="null: not begun, runs, or its process died")
    evicted: int | None
    freed_bytes: int | None

    @classmethod
    def filled(cls, noun: PruneRecord, **own: Any) -> Self:
        """Build the body of a record, with these values of its own."""
        return super().filled(noun, token=noun.id, previewed=len(noun.artifact_ids), **own)


class PruneBody(PruneRecordBody):
    """A prune with its artifacts."""

    artifacts: list[PrunedArtifactBody] = Field(
        description="those to be evicted; of a prune that was done, those that stayed as they were"
        " read, pinned or asked for since"
    )


class PruneList(PageBody[PruneRecordBody]):
    """A page of prunes that were begun, newest first."""
