"""Filters of lists, and the summary of an archive in lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from staging_api.vocabulary.staging import StagingState


@dataclass(frozen=True)
class StagingFilter:
    """A filter for lists of stagings.

    Attributes:
        equal: values of columns, by name.
        prefix: prefix of the archive's URL.
        since: only stagings made at or after this time.
        until: only stagings made before this time.
        unfinished: only stagings that are not final.
    """

    equal: Mapping[str, str] = field(default_factory=dict)
    prefix: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    unfinished: bool = False


@dataclass(frozen=True)
class ArtifactFilter:
    """A filter for lists of artifacts.

    Attributes:
        equal: values of columns, by name.
        prefix: prefix of the archive's URL.
        sha256: digest of the artifact's object, or of one of its files.
        path: path of the artifact or of one of its files, below ``/static``, without a slash at its
            end.
        pinned: only artifacts that are pinned now.
        newest: only the newest artifact of each name and path of an archive.
    """

    equal: Mapping[str, str] = field(default_factory=dict)
    prefix: str | None = None
    sha256: str | None = None
    path: str | None = None
    pinned: bool = False
    newest: bool = False


@dataclass(frozen=True)
class NewestStaging:
    """The newest staging of an archive."""

    id: str
    state: StagingState
    caller: str
    created_at: datetime


@dataclass(frozen=True)
class ArchiveSummary:
    """One archive.

    Attributes:
        static_prefix: its folder below ``/static``.
        created_at: when it was first requested.
        artifacts: number of its artifacts by state, evicted ones included.
        size_bytes: total size of the objects of its staged artifacts.
        last_accessed_at: last read of one of their files.
        pinned_until: the latest pin; it may be over.
        staging: its newest staging; None: none is recorded.
    """

    archive_url: str
    static_prefix: str
    created_at: datetime
    artifacts: Mapping[str, int]
    size_bytes: int
    last_accessed_at: datetime | None
    pinned_until: datetime | None
    staging: NewestStaging | None
