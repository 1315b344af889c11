"""The service's answers as frozen dataclasses.

The classes parse the members they know and keep the rest in `document`, so that an older client
works with a newer service, which may send more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from staging_api.vocabulary import staging

#: Final states of a staging.
FINAL_STATES = frozenset(staging.FINAL_STATES)

#: Suffixes of the names of times; `_member` also accepts the bare word, such as ``at``.
_TIMES = ("_at", "_until")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Base class of all responses.

    Attributes:
        document: the JSON as received, including members unknown to this version.
    """

    document: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Parse a response.

        Raises:
            KeyError, TypeError, ValueError: the document does not have this form.
        """
        return cls(**cls.members(document), document=document)

    @classmethod
    def members(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members that this version knows, times and failures parsed."""
        known = {each.name for each in fields(cls)} - {"document"}
        return {name: _member(name, value) for name, value in document.items() if name in known}


@dataclass(frozen=True, kw_only=True)
class Failure(Answer):
    """Reason why something is not staged.

    Attributes:
        code: one of `staging_api.errors`.
        retryable: whether the same request can succeed later.
    """

    code: str
    retryable: bool
    message: str


@dataclass(frozen=True, kw_only=True)
class Event(Answer):
    """One change of a staging, or of an artifact of it.

    Attributes:
        number: its position among the events of the staging: 1, 2, 3 ...
        kind: ``staging``, ``artifact``, ``cancel_requested`` or ``pin``.
        name: name of the artifact; None for the staging itself.
        actor: caller on whose behalf the change was made.
        code: one of `staging_api.errors`; for an eviction its reason.
        detail: other changed values.
        id, staging_id: set by `StagingClient.all_events`.
    """

    number: int
    at: datetime
    kind: str
    actor: str
    artifact_id: str | None = None
    name: str | None = None
    from_state: str | None = None
    to_state: str | None = None
    code: str | None = None
    message: str | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    staging_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class Progress(Answer):
    """Progress of a staging; None where it is not known yet.

    Attributes:
        bytes_done: bytes read from the source, for all its artifacts.
        bytes_per_second: the current rate.
        eta_seconds: time left at that rate.
    """

    bytes_done: int
    bytes_total: int | None = None
    bytes_per_second: float | None = None
    eta_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class StagedArtifact(Answer):
    """One catalogue entry of one archive.

    Attributes:
        phase: ``foreground`` or ``background``.
        state: ``pending``, ``staging``, ``staged``, ``missing`` (optional and not in the archive),
            ``failed`` or ``evicted``.
        path: its path below ``/static``; if it is unpacked, a folder, with ``/`` at the end.
        url: its path on the service; None until it is staged.
        size_bytes: size of the object in the archive; None until it is staged.
        sha256: digest of the object, in hex; None until it is staged.
        bytes_done, bytes_total: progress and size of the source object.
        warnings: sentences about parts of its objects that were left out, or staged differently
            from their description.
        brought_since_by: within an ended staging: id of a later staging that staged the artifact.
        archive_url: like all attributes below, None within a staging; set by
            `StagingClient.artifact` and `StagingClient.artifacts`.
        verified_by: the digest that its content was compared with, and who declares and signs it.
    """

    id: str
    name: str
    phase: str
    state: str
    path: str
    url: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    bytes_done: int = 0
    bytes_total: int | None = None
    warnings: Sequence[str] = ()
    error: Failure | None = None
    brought_since_by: str | None = None
    archive_url: str | None = None
    staging_id: str | None = None
    source_url: str | None = None
    source_version: str | None = None
    verified_by: str | None = None
    attempt: int | None = None
    created_at: datetime | None = None
    staged_at: datetime | None = None
    last_accessed_at: datetime | None = None
    pinned_until: datetime | None = None
    evicted_at: datetime | None = None

    @property
    def unpacked(self) -> bool:
        """Whether `path` is a folder of files instead of the object itself."""
        return self.path.endswith("/")


@dataclass(frozen=True, kw_only=True)
class StagedFile(Answer):
    """One file of a staged artifact.

    Attributes:
        name: its path below the folder of the archive.
        path: its path below ``/static``.
        executable: whether its container file marked it so.
    """

    name: str
    path: str
    size_bytes: int
    sha256: str
    executable: bool = False


@dataclass(frozen=True, kw_only=True)
class Staging(Answer):
    """One request to stage artifacts of an archive.

    Attributes:
        state: ``queued``, ``running``, ``foreground_staged``, ``staged``, ``failed`` or
            ``cancelled``.
        requested: the requested catalogue entries.
        reference_id: the ``X-Context-Marker`` of the request that made it.
        lock_id: the last grant under which it was worked on.
        attempt: number of times that work on it began.
        waiting_for: artifacts whose upload it currently waits for.
    """

    id: str
    archive_url: str
    state: str
    requested: tuple[str, ...]
    artifacts: tuple[StagedArtifact, ...]
    progress: Progress
    created_at: datetime
    caller: str | None = None
    reference_id: str | None = None
    foreground_staged_at: datetime | None = None
    finished_at: datetime | None = None
    lock_id: str | None = None
    attempt: int = 0
    waiting_for: tuple[str, ...] = ()
    error: Failure | None = None

    @property
    def final(self) -> bool:
        """Whether its state will not change again."""
        return self.state in FINAL_STATES

    @classmethod
    def members(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        """Return the members, with all parts parsed."""
        return {
            **super().members(document),
            "requested": tuple(document["requested"]),
            "waiting_for": tuple(document.get("waiting_for", ())),
            "artifacts": tuple(StagedArtifact.of(each) for each in document["artifacts"]),
            "progress": Progress.of(document["progress"]),
        }


@dataclass(frozen=True, kw_only=True)
class Lock(Answer):
    """One grant of a lock.

    Attributes:
        kind: such as ``archive`` or ``publisher``.
        scope: the protected scope, such as an archive_url or ``global``.
        caller: caller on whose behalf it was taken.
        holder: the process that took it.
        reference_id: the ``X-Context-Marker`` of the request that took it.
        outcome: ``released``, ``expired``, ``broken`` or ``superseded``; None while it is held.
        ended_by, reason: who ended it and, if it was broken, the reason.
        renewals: number of extensions of its lease.
        waiters: number of requests that wait for it; 0 once it has ended.
    """

    id: str
    kind: str
    scope: str
    caller: str
    holder: str
    acquired_at: datetime
    expires_at: datetime
    reference_id: str | None = None
    ended_at: datetime | None = None
    outcome: str | None = None
    ended_by: str | None = None
    reason: str | None = None
    renewals: int = 0
    waiters: int = 0


@dataclass(frozen=True, kw_only=True)
class PublisherRun(Answer):
    """One run of the publisher.

    Attributes:
        operation: ``process-accepted``, ``publish-distro`` or ``publish-ftpmaster``.
        state: ``running``, ``succeeded``, ``published_hook_failed``, ``failed`` or ``abandoned``.
        phase: newest phase; its progress is `items_done` of `items_total`.
        counts: numbers by the kind of thing counted.
        notes: faults that were tolerated, such as a missing signing key.
        generation_id: the last generation that it published, if any.
    """

    id: str
    operation: str
    archive: str
    state: str
    started_at: datetime
    phase: str | None = None
    items_done: int = 0
    items_total: int | None = None
    finished_at: datetime | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    generation_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None


@dataclass(frozen=True, kw_only=True)
class Upload(Answer):
    """One package that was sent to an APT archive.

    Attributes:
        state: ``new``, ``unapproved``, ``accepted``, ``done`` or ``rejected``.
        error_message: reason why it was rejected, or is not done yet.
        note: further consequences.
    """

    id: str
    archive: str
    suite: str
    component: str
    name: str
    state: str
    package: str | None = None
    version: str | None = None
    architecture: str | None = None
    error_message: str | None = None
    note: str | None = None


def _member(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name == "error":
        return Failure.of(value)
    return datetime.fromisoformat(value) if f"_{name}".endswith(_TIMES) else value
