"""The nouns of reports on the store: what it is used for, what is idle, what was pruned."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from staging_api.vocabulary.reports import Use


@dataclass(frozen=True)
class ContentUse:
    """What the contents are there for that have one use.

    Attributes:
        blobs, bytes: contents, each counted once.
        files, file_bytes: the files, and packs of small files, that name them: the difference is
            what sharing saves.
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
    """What the comparisons of the store with the tables found.

    Attributes:
        shards: parts of the store that were compared at least once.
        checked_at, scrubbed_at: when that part was compared, or read again, for which it is
            longest ago; None: no part was.
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
        idle_seconds: since `idle_before`, now.
        expired: it can no longer be begun, as its preview is too old.
        begun_at: None: only previewed.
        ended_at: None: not begun, runs, or its process died.
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
