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
        description=(
            "the first that applies: packages of APT archives, pinned artifacts, "
            "artifacts read or staged within a week, other artifacts (`idle`), orphans "
            "(`unnamed`)"
        )
    )
    blobs: int
    bytes: int = Field(description="total size of these contents, each counted once")
    files: int = Field(
        description=(
            "number of files with these contents; the small files of an artifact count as one"
        )
    )
    file_bytes: int = Field(
        description="total size of these files: more than `bytes` if contents are shared"
    )


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

    shards: int = Field(description="number of store parts that were compared")
    checked_at: datetime | None = Field(
        description="when the part with the oldest comparison was compared"
    )
    scrubbed_at: datetime | None = Field(description="likewise, when it was read again")
    lost: int = Field(description="contents with a row that are missing in the store")
    orphans: int = Field(description="contents in the store without a row")


class StoreBody(NounBody):
    """The store."""

    identity: Ulid | None = Field(
        description="id of the store's marker; null: no store was bound yet"
    )
    used_bytes: int = Field(description="total size of all contents, each counted once")
    garbage_bytes: int = Field(description="part of the used bytes that is about to be removed")
    reserved_bytes: int = Field(
        description=(
            "bytes reserved for running stagings and uploads, in addition to the used bytes"
        )
    )
    quota_bytes: int | None = Field(description="quota of the store; null: the whole disk")
    free_bytes: int | None = Field(
        description=(
            "free bytes of its disk, or for a bucket of the spool's disk; null: it does not respond"
        )
    )
    counted_at: datetime | None = Field(
        description="when a worker counted usage and the largest artifacts"
    )
    usage: list[UseBody]
    largest: list[LargeArchiveBody]
    idlest: list[IdleArtifactBody]
    checks: ChecksBody
    lost_contents: int = Field(description="lost contents of packages that must be uploaded again")

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
        description=(
            "preview: only artifacts not read for this time; null: as when space is needed"
        ),
    )
    keep_bytes: int = Field(
        0, ge=0, lt=1 << 62, description="preview: only until the store has this size"
    )
    token: Ulid | None = Field(None, description="token of the preview to carry out")
    reason: Text | None = Field(
        None, min_length=3, max_length=500, description="with a token: reason, for the record"
    )

    @model_validator(mode="after")
    def _check(self) -> "PruneRequest":
        if (self.token is None) != (self.reason is None):
            raise ValueError("a token needs a reason, and a reason the token of a preview")
        if self.token is not None and (self.idle_seconds is not None or self.keep_bytes):
            raise ValueError("a token stands for its preview: give no other parameter")
        return self


class PruneRecordBody(NounBody):
    """A prune: previewed, or done."""

    token: Ulid
    caller: str = Field(description="caller of the preview")
    made_at: datetime
    expires_at: datetime = Field(description="until when the prune can be started, once")
    idle_before: datetime = Field(description="artifacts read since this time stay")
    keep_bytes: int
    previewed: int = Field(description="number of artifacts in the preview")
    frees_bytes: int = Field(description="bytes that evicting all of them would free")
    reason: str | None
    begun_by: str | None
    begun_at: datetime | None
    ended_at: datetime | None = Field(description="null: not started, running, or its process died")
    evicted: int | None
    freed_bytes: int | None

    @classmethod
    def filled(cls, noun: PruneRecord, **own: Any) -> Self:
        """Build the body of a record, with these values of its own."""
        return super().filled(noun, token=noun.id, previewed=len(noun.artifact_ids), **own)


class PruneBody(PruneRecordBody):
    """A prune with its artifacts."""

    artifacts: list[PrunedArtifactBody] = Field(
        description=(
            "artifacts to be evicted; after the prune, those that stayed because they "
            "were read, pinned or requested since"
        )
    )


class PruneList(PageBody[PruneRecordBody]):
    """A page of prunes that were begun, newest first."""
