"""Origin of each value of a rendered document.

A trace is a sparse copy of the data's structure: a node has the origin of everything below it, and
its children name only the places with another origin. Layering and substitution change data and
trace by the same steps, so redaction and provenance both read the trace.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from staging_api.documents.model import Identity, Path


@dataclass(frozen=True, slots=True)
class TraceStep:
    """One step on a value's way: the document that took the value, and the instruction."""

    document: Identity
    #: For example ``layeringDefinition.actions[0]`` or ``substitutions[2].dest``.
    instruction: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Place in a posted document where a value was written, and the steps it has taken since."""

    document: Identity
    #: Path in the posted data of that document.
    path: Path = ()
    #: Whether the value is secret: its document, or one on its way, is encrypted.
    secret: bool = False
    #: The last step first; empty if the value is still in the document where it was written.
    steps: tuple[TraceStep, ...] = ()

    def at(self, path: Path) -> "Origin":
        """Return the origin of the value at a path below."""
        return Origin(self.document, self.path + path, self.secret, self.steps)

    def further(self, steps: tuple[TraceStep, ...], *, secret: bool) -> "Origin":
        """Return the origin of the value after further steps."""
        return Origin(self.document, self.path, self.secret or secret, steps + self.steps)


@dataclass(slots=True)
class Trace:
    """The origins of a value and of the values below it; shared, and changed only by its `Draft`.

    If a value is taken ten times, and the result ten times again, all these share one trace, as
    they share the value. Adding steps therefore costs the same for every size: the steps are passed
    on to the children only when a child is read.
    """

    #: More than one if patterns composed a text from several values; the newest first.
    origins: tuple[Origin, ...]
    children: dict[str | int, "Trace"] = field(default_factory=dict)
    #: Steps not yet passed on to the children, and whether they make the children secret.
    pending: tuple[TraceStep, ...] = ()
    pending_secret: bool = False

    @property
    def secret(self) -> bool:
        """Whether the value itself is secret."""
        return any(origin.secret for origin in self.origins)

    def child(self, step: str | int) -> "Trace":
        """Return the trace of the value at a key or index directly below."""
        found = self.children.get(step)
        if found is None:
            return Trace(tuple(origin.at((step,)) for origin in self.origins))
        return found.further(self.pending, secret=self.pending_secret)

    def get(self, path: Path) -> "Trace":
        """Return the trace of the value at a path below."""
        trace = self
        for step in path:
            trace = trace.child(step)
        return trace

    def further(self, steps: tuple[TraceStep, ...], *, secret: bool = False) -> "Trace":
        """Return a copy in which every origin has further steps."""
        if not steps and not secret:
            return self
        origins = tuple(origin.further(steps, secret=secret) for origin in self.origins)
        return Trace(origins, self.children, steps + self.pending, secret or self.pending_secret)

    def copy(self) -> "Trace":
        """Return a copy with a separate mapping of children."""
        # `child` passes the pending steps on, so the copy has no pending steps.
        return Trace(self.origins, {step: self.child(step) for step in self.children})

    def secret_paths(self) -> tuple[Path, ...]:
        """Return the topmost paths that hold secret values."""
        return tuple(_secret_paths(self, (), {}))


def _secret_paths(trace: Trace, here: Path, harmless: dict[int, bool]) -> Iterator[Path]:
    if trace.secret:
        yield here
        return
    for step, child in trace.children.items():
        if trace.pending_secret or _holds_secret(child, harmless):
            yield from _secret_paths(trace.child(step), (*here, step), harmless)


def _holds_secret(trace: Trace, known: dict[int, bool]) -> bool:
    """Return whether this trace or one below it is secret; examine each shared trace once."""
    # The ids stay unique while this runs: the root of the trace keeps all nodes alive.
    found = known.get(id(trace))
    if found is None:
        found = trace.secret or trace.pending_secret
        found = found or any(_holds_secret(each, known) for each in trace.children.values())
        known[id(trace)] = found
    return found
