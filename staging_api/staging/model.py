"""Data types of staging: a staging is one request, a staged artifact one part of an archive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, NamedTuple

from staging_api.catalogue.model import ArtifactKind
from staging_api.errors import Invalid
from staging_api.locks.model import ARCHIVE, IMAGES, SYMBOLS, LockKind, Refusal
from staging_api.sources.url import ArchiveUrl
from staging_api.store.places import Place, place_of
from staging_api.vocabulary.staging import (
    FINAL_STATES,
    SETTLED_STATES,
    TO_DO_STATES,
    ArtifactState,
    EventKind,
    Phase,
    StagingState,
)

#: The lock under which a group of the catalogue is staged; any other group uses `ARCHIVE`.
LOCK_OF_GROUP: Mapping[str, LockKind] = {"images": IMAGES, "symbols": SYMBOLS}
#: The locks of staging, in the order in which they are acquired, which prevents deadlocks.
LOCK_BY_NAME: Mapping[str, LockKind] = {
    kind.name: kind for kind in (ARCHIVE, *LOCK_OF_GROUP.values())
}


def lock_kind_of(kind: ArtifactKind) -> LockKind:
    """Return the lock under which a catalogue entry is staged."""
    return LOCK_OF_GROUP.get(kind.group, ARCHIVE)


class Question(NamedTuple):
    """The part of a request on which its answer depends: the key of combined reads.

    Attributes:
        kinds: the locks that the work needs, in the order in which they are acquired.
    """

    archive_url: str
    names: tuple[str, ...]
    kinds: tuple[LockKind, ...]


@dataclass(frozen=True)
class StagingRequest:
    """A checked request: which artifacts of which archive.

    Attributes:
        upload_wait_seconds: how long to wait for an archive that may still be empty; None: the
            archive should exist, and only an upload that has begun is waited for.
    """

    url: ArchiveUrl
    kinds: Sequence[ArtifactKind]
    upload_wait_seconds: float | None = None

    @property
    def archive_url(self) -> str:
        """The archive's canonical URL: the key in every table."""
        return self.url.canonical

    def check_can_be_left(self) -> None:
        """Check that a worker could stage the request.

        Raises:
            Invalid: the archive's URL has a credential, which is stored nowhere.
        """
        if self.url.has_credential:
            raise Invalid.field(
                "archive_url",
                "has a credential in its query, which is not stored, so no worker can use it: wait"
                " for the answer (no respond-async, no async=True)",
            )

    @property
    def names(self) -> list[str]:
        """The catalogue entries, in the order in which they are staged."""
        return [kind.name for kind in self.kinds]

    @cached_property
    def question(self) -> Question:
        """The key of combined reads about this request."""
        return Question(self.archive_url, tuple(self.names), tuple(self.lock_kinds))

    @property
    def lock_kinds(self) -> list[LockKind]:
        """The locks that the staging needs, in the order in which they are acquired."""
        needed = {lock_kind_of(kind) for kind in self.kinds}
        return [kind for kind in LOCK_BY_NAME.values() if kind in needed]


@dataclass(frozen=True)
class CachedObject:
    """One version of a source object, whose whole content is the blob `sha256`.

    Attributes:
        verified_by: the declared digest with which its content was compared, if any.
    """

    url: str
    version: str
    size_bytes: int
    sha256: str
    verified_by: str | None = None


@dataclass(frozen=True)
class Failure:
    """Why something is not staged, in the terms of the error tree."""

    code: str
    message: str
    retryable: bool


@dataclass(frozen=True)
class StagedArtifact:
    """One row of ``staged_artifacts``: one catalogue entry of one archive.

    Attributes:
        verified_by: the digest that was compared, with the witness and signer that gave it; None if
            there is none.
        warnings: sentences about parts of its objects that were left out, or differ from their
            description.
        brought_since_by: within a finished staging: the later staging that staged the artifact.
    """

    id: str
    staging_id: str
    archive_url: str
    name: str
    lock_kind: str
    phase: Phase
    state: ArtifactState
    path: str
    size_bytes: int | None
    sha256: str | None
    source_url: str | None
    source_version: str | None
    verified_by: str | None
    attempt: int
    bytes_done: int
    bytes_total: int | None
    bytes_per_second: float | None
    created_at: datetime
    staged_at: datetime | None
    last_accessed_at: datetime | None
    pinned_until: datetime | None
    evicted_at: datetime | None
    version: int
    warnings: Sequence[str]
    failure: Failure | None
    brought_since_by: str | None = None

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do for the artifact."""
        return self.state in SETTLED_STATES

    @property
    def to_do(self) -> bool:
        """Whether a staging brings the artifact, or will."""
        return self.state in TO_DO_STATES


@dataclass(frozen=True)
class Staging:
    """One row of ``stagings``, with the artifacts that it requested.

    Attributes:
        artifacts: for a finished staging, the artifacts with which it ended, each with its error
            for this staging; otherwise the artifacts as they are now.
        tag: changes whenever the staging or one of its artifacts changes.
        joined: artifacts for which other requests rely on this staging.
    """

    id: str
    archive_url: str
    state: StagingState
    requested: Sequence[str]
    caller: str
    reference_id: str | None
    created_at: datetime
    foreground_staged_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    lock_id: str | None
    attempt: int
    failure: Failure | None
    version: int
    events_count: int
    upload_wait_seconds: float | None
    waiting_for: Sequence[str]
    joined: Sequence[str]
    artifacts: Sequence[StagedArtifact]
    tag: str

    @property
    def final(self) -> bool:
        """Whether its state will not change again."""
        return self.state in FINAL_STATES

    @property
    def lock_kinds(self) -> list[LockKind]:
        """The locks under which it is worked on, in the order in which they are acquired."""
        names = {artifact.lock_kind for artifact in self.artifacts} or {ARCHIVE.name}
        return [kind for name, kind in LOCK_BY_NAME.items() if name in names]


class AnswerRows(NamedTuple):
    """The rows from which the response about a staging is made; equal rows make equal responses.

    Attributes:
        rows: each row by id, version and transaction.
    """

    staging_id: str
    rows: str


class StandingAnswer(NamedTuple):
    """The rows that answer a request for artifacts, as found by one read.

    Attributes:
        seen: the newest staging of any of the artifacts; None: there is none.
        refusal: the lock of another caller that the remaining work needs.
    """

    seen: AnswerRows | None
    refusal: Refusal | None


class ServedFile(NamedTuple):
    """One file below ``/static``, as its rows describe it.

    Attributes:
        pack_sha256, pack_bytes, pack_offset: the pack with its bytes, and their offset; None: they
            are a blob of their own.
        hand_out_due: its artifact's last read is so old that it must be renewed before the file is
            handed out, or the artifact might be evicted too early.
    """

    path: str
    artifact_id: str
    sha256: str
    size_bytes: int
    staged_at: datetime
    executable: bool
    pack_sha256: str | None
    pack_bytes: int | None
    pack_offset: int | None
    hand_out_due: bool = True

    @property
    def place(self) -> Place:
        """The place of its bytes in the store."""
        return place_of(self)


@dataclass(frozen=True)
class FileOfArtifact:
    """One file of a staged artifact; `name` is its path below the folder of the archive."""

    name: str
    path: str
    sha256: str
    size_bytes: int
    executable: bool


@dataclass(frozen=True)
class FolderChild:
    """An entry of a folder: a file; or a folder, whose `name` ends in ``/``, without content."""

    name: str
    sha256: str | None
    size_bytes: int | None


@dataclass(frozen=True)
class StagingEvent:
    """One row of ``staging_events``: a change, its author, and the reason."""

    number: int
    id: str
    staging_id: str
    at: datetime
    kind: EventKind
    artifact_id: str | None
    name: str | None
    from_state: str | None
    to_state: str | None
    actor: str
    holder: str | None
    lock_id: str | None
    fence: int | None
    code: str | None
    message: str | None
    detail: Mapping[str, Any]
    digest: str
