"""Where each value of a rendered document came from.

A trace has the shape of the data, but sparsely: a node says where everything below it came from,
and its children name only the places that came from elsewhere. Layering and substitution change
data and trace by the same steps, so redaction and provenance follow from one walk.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from staging_api.documents.model import Identity, Path


@dataclass(frozen=True, slots=True)
class Step:
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
    steps: tuple[Step, ...] = ()

    def at(self, path: Path) -> "Origin":
        """The origin of a place below."""
        return Origin(self.document, self.path + path, self.secret, self.steps)


@dataclass(slots=True)
class Trace:
    """The origins of a value and of what is below it; shared, and changed only by its `Draft`."""

    #: More than one if patterns composed a text; the newest first.
    origins: tuple[Origin, ...]
    children: dict[str | int, "Trace"] = field(default_factory=dict)

    @property
    def secret(self) -> bool:
        """Whether the value itself is secret."""
        return any(origin.secret for origin in self.origins)

    def child(self, step: str | int) -> "Trace":
        """The trace of one place directly below."""
        found = self.children.get(step)
        return found or Trace(tuple(origin.at((step,)) for origin in self.origins))

    def get(self, path: Path) -> "Trace":
        """The trace of a place below."""
        trace = self
        for step in path:
            trace = trace.child(step)
        return trace

    def through(self, step: Step) -> "Trace":
        """Give a copy in which every origin came one step further."""
        origins = tuple(replace(origin, steps=(step, *origin.steps)) for origin in self.origins)
        return Trace(origins, {key: each.through(step) for key, each in self.children.items()})

    def as_secret(self) -> "Trace":
        """Give a copy in which every origin is secret."""
        origins = tuple(replace(origin, secret=True) for origin in self.origins)
        return Trace(origins, {key: each.as_secret() for key, each in self.children.items()})

    def secret_paths(self) -> tuple[Path, ...]:
        """The topmost places that hold secret values."""
        return tuple(_secret_paths(self, ()))


def _secret_paths(trace: Trace, here: Path) -> Iterator[Path]:
    if trace.secret:
        yield here
        return
    for step, child in trace.children.items():
        yield from _secret_paths(child, (*here, step))
