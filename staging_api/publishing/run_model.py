"""A run of the publisher: what it is to do, its phases and how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, get_args

from staging_api.vocabulary.publishing import Operation, Purpose, RunState

_Part = Literal["publishing", "domination", "indices", "release"]


@dataclass(frozen=True)
class Options:
    """How thorough a run is, and where.

    Attributes:
        careful: all of the following.
        careful_publishing: look for the files of published packages, too.
        careful_domination: look at every package, not only at those that changed.
        careful_indices: make the index files from all packages, not from what changed.
        careful_release: write new Releases even if nothing changed.
        suites: only these; none for all.
    """

    careful: bool = False
    careful_publishing: bool = False
    careful_domination: bool = False
    careful_indices: bool = False
    careful_release: bool = False
    suites: tuple[str, ...] = ()

    def wants(self, part: _Part) -> bool:
        """Return whether this part is to be thorough."""
        return self.careful or bool(getattr(self, f"careful_{part}"))

    @property
    def is_careful(self) -> bool:
        """Whether any part is to be thorough."""
        return any(self.wants(part) for part in get_args(_Part))


@dataclass(frozen=True)
class NewRun:
    """A run that begins, by the columns of its row; the database gives it its id."""

    operation: Operation
    purpose: Purpose | None
    archive_id: int
    options: Mapping[str, Any]
    caller: str
    holder: str
    reference_id: str | None
    lock_id: str
    fence: int


@dataclass(frozen=True)
class BegunPhase:
    """A phase that this process has begun.

    Attributes:
        total: number of its items; None if that is not known.
        began_at: by `time.monotonic`.
    """

    name: str
    total: int | None
    began_at: float


@dataclass(frozen=True)
class NewPhases:
    """Phases that a run has begun and not written to its row yet.

    Attributes:
        position: of the first of them among all phases of the run.
        now: the present, by the clock of their `began_at`.
    """

    position: int
    phases: Sequence[BegunPhase]
    now: float


@dataclass(frozen=True)
class RunEnd:
    """How a run ended; `code` and `message` are those of its error, None if there was none."""

    state: RunState
    counts: Mapping[str, int]
    notes: list[str]
    code: str | None
    message: str | None


@dataclass(frozen=True)
class Phase:
    """One phase of a run."""

    phase: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class HookRun:
    """One of the operator's programs that a run started."""

    stage: str
    name: str
    exit_code: int | None
    timed_out: bool
    seconds: float
    output: str


@dataclass(frozen=True)
class PublisherRun:
    """One operation of the publisher.

    Attributes:
        state: ``running``, ``succeeded``, ``published_hook_failed``, ``failed`` or ``abandoned``.
        purpose: what it did, if that is none of the three operations.
        phase: the newest one; `items_done` of `items_total` are done.
        counts: by name (accepted, published, superseded, index_files and so on).
        notes: what was wrong and was tolerated.
        generation_id: the last generation that it made live, if any.
    """

    id: str
    operation: str
    archive: str
    options: Mapping[str, Any]
    state: str
    phase: str | None
    items_done: int
    items_total: int | None
    caller: str
    holder: str
    reference_id: str | None
    lock_id: str
    started_at: datetime
    finished_at: datetime | None
    counts: Mapping[str, int]
    notes: tuple[str, ...]
    error_code: str | None
    error_message: str | None
    generation_id: str | None
    purpose: Purpose | None = None
    phases: tuple[Phase, ...] = ()
    hooks: tuple[HookRun, ...] = ()


class RunFilter(TypedDict, total=False):
    """Which runs are listed: those below `after`, of one APT archive, state or operation."""

    after: str | None
    archive: str | None
    state: str | None
    operation: str | None
