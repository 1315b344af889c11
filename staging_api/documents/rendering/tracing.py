"""Where each value of a rendered document came from.

A trace has the shape of the data, but sparsely: a node says where everything below it came from,
and its children name only the places that came from elsewhere. Layering and substitution change
data and trace by the same steps, so redaction and provenance follow from one walk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from staging_api.documents.model import Identity, Path


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step of a value's way: the document that took it, and by which instruction."""

    document: Identity
    #: Such as ``layeringDefinition.actions[0]`` or ``substitutions[2].dest``.
    instruction: str


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in a posted document that a value was written in, and how it came from there."""

    document: Identity
    #: The place in that document's posted data.
    path: Path = ()
    #: Whether the value is secret: its document, or one that it came through, is encrypted.
    secret: bool = False
    #: The last step first; empty if the value is still where it was written.
    steps: tuple[TraceStep, ...] = ()

    def at(self, path: Path) -> "Origin":
        """The origin of a place below."""
        return Origin(self.document, self.path + path, self.secret, self.steps)

    def further(self, steps: tuple[TraceStep, ...], *, secret: bool) -> "Origin":
        """The origin of a value that went further."""
        return Origin(self.document, self.path, self.secret or secret, steps + self.steps)


@dataclass(slots=True)
class Trace:
    """The origins of a value and of the values below it; shared, and changed only by its `Draft`.

    A value that is taken ten times, and its taker ten times, has a trace that is shared just as
    the value is: going further costs the same for every size, and is passed on to the children
    only when they are looked at.
    """

    #: More than one if patterns composed a text; the newest first.
    origins: tuple[Origin, ...]
    children: dict[str | int, "Trace"] = field(default_factory=dict)
    #: Not yet passed on to the children: steps, and that they are secret.
    pending: tuple[TraceStep, ...] = ()
    pending_secret: bool = False

    @property
    def secret(self) -> bool:
        """Whether the value itself is secret."""
        return any(origin.secret for origin in self.origins)

    def child(self, step: str | int) -> "Trace":
        """The trace of one place directly below."""
        found = self.children.get(step)
        if found is None:
            return Trace(tuple(origin.at((step,)) for origin in self.origins))
        return found.further(self.pending, secret=self.pending_secret)

    def get(self, path: Path) -> "Trace":
        """The trace of a place below."""
        trace = self
        for step in path:
            trace = trace.child(step)
        return trace

    def further(self, steps: tuple[TraceStep, ...], *, secret: bool = False) -> "Trace":
        """Give a copy in which every origin went further."""
        if not steps and not secret:
            return self
        origins = tuple(origin.further(steps, secret=secret) for origin in self.origins)
        return Trace(origins, self.children, steps + self.pending, secret or self.pending_secret)

    def copy(self) -> "Trace":
        """Return a copy with a separate mapping of children."""
        # By `child`, which passes the pending steps on: the copy has none pending.
        return Trace(self.origins, {step: self.child(step) for step in self.children})

    def secret_paths(self) -> tuple[Path, ...]:
        """The topmost places that hold secret values."""
        return tuple(_secret_paths(self, (), {}))


def _secret_paths(trace: Trace, here: Path, harmless: dict[int, bool]) -> Iterator[Path]:
    if trace.secret:
        yield here
        return
    for step, child in trace.children.items():
        if trace.pending_secret or _holds_secret(child, harmless):
            yield from _secret_paths(trace.child(step), (*here, step), harmless)


def _holds_secret(trace: Trace, known: dict[int, bool]) -> bool:
    """Return whether there is a secret at or below; each shared trace is looked at once."""
    # The ids stay unique while this runs: the trace that it began with keeps all of these alive.
    found = known.get(id(trace))
    if found is None:
        found = trace.secret or trace.pending_secret
        found = found or any(_holds_secret(each, known) for each in trace.children.values())
        known[id(trace)] = found
    return found
