"""The nouns of the service's answers, as frozen dataclasses.

They take what they know and leave the rest in `document`, so that a newer service, which may say
more, is understood by an older client.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import Any, Self

from staging_api.vocabulary import staging

#: States that a staging does not leave again.
FINAL_STATES = frozenset(staging.FINAL_STATES)

_TIMES = ("_at", "_until")


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What all answers have in common.

    Attributes:
        document: the answer as it came, members that this version does not know included.
    """

    document: Mapping[str, Any] = field(repr=False, compare=False, default_factory=dict)

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Self:
        """Read an answer.

        Raises:
            KeyError, TypeError, ValueError: it is not one.
        """
        return cls(**cls.members(document), document=document)

    @classmethod
    def members(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        """The members that this version knows, times as times."""
        known = {each.name for each in fields(cls)} - {"document"}
        return {
            name: _time(value) if name.endswith(_TIMES) else value
            for name, value in document.items()
            if name in known
        }


@dataclass(frozen=True, kw_only=True)
class Failure(Answer):
    """Why something is not staged.

    Attributes:
        code: the stable word, as in `staging_api.errors`.
        retryable: whether the same request can succeed later.
    """

    code: str
    retryable: bool
    message: str


@dataclass(frozen=True, kw_only=True)
class Event(Answer):
    """One change of a staging, or of an artifact of it.

    Attributes:
        number: its place among the events of the staging: 1, 2, 3 ...
        kind: ``staging``, ``artifact``, ``cancel_requested`` or ``pin``.
        name: of the artifact; None for the staging itself.
        actor: on whose behalf.
        code: why, as in `staging_api.errors`; of an eviction its reason.
        detail: what else changed.
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

    @classmethod
    def members(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        """The members that this version knows, the time as a time."""
        return {**super().members(document), "at": _time(document["at"])}


@dataclass(frozen=True, kw_only=True)
class Progress(Answer):
    """How far a staging has come; None where nobody can know yet.

    Attributes:
        bytes_done: bytes read from the source, of all its artifacts.
        bytes_per_second: the rate just now.
        eta_seconds: what is left, at that rate.
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
        path: where it lands below ``/static``; a folder, ending in ``/``, if it is unpacked.
        url: the path on the service, once it is staged.
        size_bytes: of the object as it was in the archive; None until it is staged.
        sha256: of the same, in hex; None until it is staged.
        bytes_done, bytes_total: of the source object.
        brought_since_by: within a staging that has ended: id of the later one that brought it.
        archive_url: like all that follow, None within a staging: only `StagingClient.artifact`
            and `StagingClient.artifacts` tell.
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
    error: Failure | None = None
    brought_since_by: str | None = None
    archive_url: str | None = None
    staging_id: str | None = None
    source_url: str | None = None
    source_version: str | None = None
    attempt: int | None = None
    created_at: datetime | None = None
    staged_at: datetime | None = None
    last_accessed_at: datetime | None = None
    pinned_until: datetime | None = None
    evicted_at: datetime | None = None

    @property
    def unpacked(self) -> bool:
        """Whether `path` is a folder of files, and not the object itself."""
        return self.path.endswith("/")

    @classmethod
    def members(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        """The members, the failure as one."""
        return {**super().members(document), "error": _failure(document)}


@dataclass(frozen=True, kw_only=True)
class Staging(Answer):
    """One request to stage artifacts of an archive.

    Attributes:
        state: ``queued``, ``running``, ``foreground_staged``, ``staged``, ``failed`` or
            ``cancelled``.
        requested: the catalogue entries asked for.
        reference_id: the ``X-Context-Marker`` of the request that made it.
        lock_id: the grant under which it was last worked on.
        attempt: how often the work was begun.
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
    error: Failure | None = None

    @property
    def final(self) -> bool:
        """Whether its state will not change again."""
        return self.state in FINAL_STATES

    @classmethod
    def members(cls, document: Mapping[str, Any]) -> dict[str, Any]:
        """The members, each part of its own kind."""
        return {
            **super().members(document),
            "requested": tuple(document["requested"]),
            "artifacts": tuple(StagedArtifact.of(each) for each in document["artifacts"]),
            "progress": Progress.of(document["progress"]),
            "error": _failure(document),
        }


@dataclass(frozen=True, kw_only=True)
class Lock(Answer):
    """One grant of a lock.

    Attributes:
        kind: what it protects, such as ``archive`` or ``publisher``.
        scope: which one, such as an archive_url or ``global``.
        caller: on whose behalf it was taken.
        holder: the process that took it.
        reference_id: the ``X-Context-Marker`` of the request that took it.
        outcome: ``released``, ``expired``, ``broken`` or ``superseded``; None while it is held.
        ended_by, reason: who ended it and, of a broken one, why.
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


@dataclass(frozen=True, kw_only=True)
class PublisherRun(Answer):
    """One run of the publisher.

    Attributes:
        operation: ``process-accepted``, ``publish-distro`` or ``publish-ftpmaster``.
        state: ``running``, ``succeeded``, ``published_hook_failed``, ``failed`` or ``abandoned``.
        phase: the newest; `items_done` of `items_total` tell how far it is.
        counts: how many of what.
        notes: what was tolerated, such as that there was no key to sign with.
        generation_id: what it made clients see last, if anything.
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
    """One package that was sent.

    Attributes:
        state: ``new``, ``unapproved``, ``accepted``, ``done`` or ``rejected``.
        error_message: why it was rejected, or is not done yet.
        note: what else follows from it.
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


def _failure(document: Mapping[str, Any]) -> Failure | None:
    error = document.get("error")
    return None if error is None else Failure.of(error)


def _time(value: Any) -> datetime | None:
    return None if value is None else datetime.fromisoformat(value)
