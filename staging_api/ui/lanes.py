"""Timeline of a staging: one lane for each artifact, drawn from its events.

Positions are in thousandths of the time from the request to the end, or to now. A lane shows
waiting, each attempt, and its outcome; an attempt that another process took over ends in a cross.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from staging_api.staging.model import Staging, StagingEvent
from staging_api.ui.formats import duration
from staging_api.vocabulary.staging import TO_DO_STATES

_WIDTH = 1000.0
#: Makes very short attempts visible.
_LEAST_WIDTH = 3.0


@dataclass(frozen=True)
class Block:
    """A part of a lane; `kind` is ``wait``, ``work``, ``done`` or ``failed``."""

    kind: str
    x: float
    width: float
    title: str


@dataclass(frozen=True)
class Lane:
    """The lane of one artifact.

    Attributes:
        crosses: positions where an attempt ended because its process did.
        notes: explanations of the crosses.
    """

    name: str
    state: str
    blocks: Sequence[Block]
    crosses: Sequence[float]
    notes: Sequence[str]


@dataclass(frozen=True)
class Axis:
    """All lanes, from the request to the end of the staging."""

    lanes: Sequence[Lane]
    begin: datetime
    end: datetime

    @property
    def length(self) -> str:
        """Duration of the whole axis, in words."""
        return duration((self.end - self.begin).total_seconds())


def axis_of(staging: Staging, events: Iterable[StagingEvent], now: datetime) -> Axis:
    """Draw a staging."""
    begin, end = staging.created_at, staging.finished_at or now
    of_artifact: dict[str, list[StagingEvent]] = {}
    for event in events:
        if event.kind == "artifact" and event.artifact_id is not None:
            of_artifact.setdefault(event.artifact_id, []).append(event)
    # `now` was counted on since the database told it, and may be behind `begin`.
    drawn = _Drawing(begin, max(end, begin))
    lanes = [
        drawn.lane(artifact.name, artifact.state, of_artifact.get(artifact.id, []))
        for artifact in staging.artifacts
    ]
    return Axis(lanes, begin, end)


@dataclass(frozen=True)
class _Drawing:
    begin: datetime
    end: datetime

    def lane(self, name: str, state: str, events: Sequence[StagingEvent]) -> Lane:
        blocks: list[Block] = []
        crosses: list[float] = []
        notes: list[str] = []
        since, before = self.begin, "wait"
        holder: str | None = None
        for event in events:
            if event.to_state == "staging":
                if before == "work":
                    # An attempt without an end: its process died, or lost the lock.
                    crosses.append(self._x(event.at))
                    notes.append(_taken_over(holder, event, since))
                blocks.append(self._block(before, since, event.at))
                since, before, holder = event.at, "work", event.holder
            elif before == "work" and event.to_state is not None:
                kind = {"staged": "done", "failed": "failed", "missing": "wait"}
                blocks.append(self._block(kind.get(event.to_state, "work"), since, event.at))
                since, before = event.at, "over"
                if event.to_state == "pending":
                    before = "wait"
        if before in {"wait", "work"} and state in TO_DO_STATES:
            blocks.append(self._block(before, since, self.end))
        return Lane(name, state, blocks, crosses, notes)

    def _block(self, kind: str, since: datetime, until: datetime) -> Block:
        x = self._x(since)
        width = max(_LEAST_WIDTH, self._x(until) - x)
        lasted = duration((until - since).total_seconds())
        return Block(kind, x, round(min(width, _WIDTH - x + _LEAST_WIDTH), 1), f"{kind} {lasted}")

    def _x(self, at: datetime) -> float:
        whole = (self.end - self.begin).total_seconds() or 1.0
        part = (at - self.begin).total_seconds() / whole
        return round(min(max(part, 0.0), 1.0) * _WIDTH, 1)


def _taken_over(holder: str | None, event: StagingEvent, since: datetime) -> str:
    lasted = duration((event.at - since).total_seconds())
    return f"{event.holder or event.actor} took over from {holder or 'a process'} after {lasted}"
