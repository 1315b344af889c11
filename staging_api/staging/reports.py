"""Data types of reports on the store: use of contents, idle artifacts, checks, prunes."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from staging_api.vocabulary.reports import Use


@dataclass(frozen=True)
class ContentUse:
    """The contents with one use.

    Attributes:
        blobs, bytes: contents, each counted once.
        files, file_bytes: files, and packs of small files, that name these contents: the difference
            is the saving by sharing.
    """

    use: Use
    blobs: int
    bytes: int
    files: int
    file_bytes: int
    counted_at: datetime


@dataclass(frozen=True)
class LargeArchive:
    """One of the archives with the largest files."""

    archive_url: str
    artifacts: int
    bytes: int


@dataclass(frozen=True)
class IdleArtifact:
    """A staged artifact that may be evicted, and the time of its last read."""

    id: str
    archive_url: str
    name: str
    size_bytes: int
    idle_since: datetime


@dataclass(frozen=True)
class Checks:
    """The findings of the comparisons of the store with the tables.

    Attributes:
        shards: shards of the store that were compared at least once.
        checked_at, scrubbed_at: the oldest time at which a shard was last compared, or read again;
            None: no shard was.
        lost: contents that a row names and the store lacks.
        orphans: contents of the store that no row names.
    """

    shards: int
    checked_at: datetime | None
    scrubbed_at: datetime | None
    lost: int
    orphans: int


@dataclass(frozen=True)
class PruneRecord:
    """One row of ``store_prunes``.

    Attributes:
        id: the token of the preview.
        idle_seconds: time from `idle_before` until now.
        expired: whether the preview is too old to be used.
        begun_at: None: only previewed.
        ended_at: None: not begun, running, or its process died.
    """

    id: str
    caller: str
    made_at: datetime
    idle_before: datetime
    idle_seconds: float
    keep_bytes: int
    artifact_ids: Sequence[str]
    frees_bytes: int
    expires_at: datetime
    expired: bool
    reason: str | None
    begun_by: str | None
    begun_at: datetime | None
    ended_at: datetime | None
    evicted: int | None
    freed_bytes: int | None
