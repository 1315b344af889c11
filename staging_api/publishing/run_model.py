"""Data model of a publisher run: its options, phases and outcome."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, get_args

from staging_api.vocabulary.publishing import Operation, Purpose, RunState

_Part = Literal["publishing", "domination", "indices", "release"]


@dataclass(frozen=True)
class Options:
    """Suites that a run is limited to, and parts that it rebuilds completely.

    Attributes:
        careful: all of the following.
        careful_publishing: also check the files of packages that are already published.
        careful_domination: examine all packages, not only the changed ones.
        careful_indices: build the index files from all packages, not from the changes.
        careful_release: write new Releases even if nothing changed.
        suites: the suites to run on; empty: all.
    """

    careful: bool = False
    careful_publishing: bool = False
    careful_domination: bool = False
    careful_indices: bool = False
    careful_release: bool = False
    suites: tuple[str, ...] = ()

    def wants(self, part: _Part) -> bool:
        """Return whether this part is to be rebuilt completely."""
        return self.careful or bool(getattr(self, f"careful_{part}"))

    @property
    def is_careful(self) -> bool:
        """Whether any part is to be rebuilt completely."""
        return any(self.wants(part) for part in get_args(_Part))


@dataclass(frozen=True)
class NewRun:
    """A run to insert, by the columns of its row; the database assigns its id."""

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
        total: number of items in the phase; None if unknown.
        began_at: start, by `time.monotonic`.
    """

    name: str
    total: int | None
    began_at: float


@dataclass(frozen=True)
class NewPhases:
    """Phases of a run that are not yet written to its row.

    Attributes:
        position: position of the first of these phases among all phases of the run.
        now: the current time, by the clock of `began_at`.
    """

    position: int
    phases: Sequence[BegunPhase]
    now: float


@dataclass(frozen=True)
class RunEnd:
    """Outcome of a run; `code` and `message` describe its error, None if there was none."""

    state: RunState
    counts: Mapping[str, int]
    notes: list[str]
    code: str | None
    message: str | None


@dataclass(frozen=True)
class Phase:
    """A phase of a run."""

    phase: str
    started_at: datetime
    finished_at: datetime | None


@dataclass(frozen=True)
class HookRun:
    """A run of one hook, a program of the operator."""

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
        purpose: kind of the run, if it is none of the three operations.
        phase: the newest phase; `items_done` of `items_total` are done.
        counts: counters by name (accepted, published, superseded, index_files and so on).
        notes: problems that did not stop the run.
        generation_id: the last generation that the run made live, if any.
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
    """Filter of a list of runs: those below `after`, of one APT archive, state or operation."""

    after: str | None
    archive: str | None
    state: str | None
    operation: str | None
