"""Where each value of a rendered document came from.

A trace has the shape of the data, but sparsely: a node says where everything below it came from,
and its children name only the places that came from elsewhere. Layering and substitution change
data and trace by the same steps, so redaction and provenance follow from one walk.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from staging_api.documents.model import Identity, Path


@dataclass(frozen=True, slots=True)
class Origin:
    """The place in a posted document that a value was written in, and how it came from there."""

    document: Identity
    #: The place in that document's posted data.
    path: Path
    #: Whether the value is secret: its document, or one that it came through, is encrypted.
    secret: bool = False
    #: How it came, last step first: ``substitution 2 of S N on layer L``; empty: written here.
    steps: tuple[str, ...] = ()

    def at(self, path: Path) -> "Origin":
        """The origin of a place below."""
        return replace(self, path=self.path + path) if path else self


@dataclass(frozen=True, slots=True)
class Trace:
    """The origins of a value and of what is below it."""

    #: More than one if patterns composed a text; the newest first.
    origins: tuple[Origin, ...]
    children: Mapping[str | int, "Trace"] = field(default_factory=dict)

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

    def put(self, path: Path, new: "Trace") -> "Trace":
        """Give a copy in which a place has another trace."""
        if not path:
            return new
        below = self.child(path[0]).put(path[1:], new)
        return Trace(self.origins, {**self.children, path[0]: below})

    def remove(self, path: Path, container: Any) -> "Trace":
        """Give a copy without a place.

        Args:
            path: the place, not the whole.
            container: the mapping or list that holds it, before the removal.
        """
        holder = self.get(path[:-1])
        last = path[-1]
        children = {step: each for step, each in holder.children.items() if step != last}
        if isinstance(last, int):
            # The elements behind it move up, and keep where they came from.
            for place in range(last + 1, len(container)):
                children[place - 1] = holder.child(place)
            children.pop(len(container) - 1, None)
        return self.put(path[:-1], Trace(holder.origins, children))

    def secret_paths(self) -> tuple[Path, ...]:
        """The topmost places that hold secret values."""
        return tuple(_secret_paths(self, ()))

    def through(self, step: str, *, secret: bool) -> "Trace":
        """Give a copy in which every origin came one step further."""
        origins = tuple(
            replace(origin, steps=(step, *origin.steps), secret=origin.secret or secret)
            for origin in self.origins
        )
        below = {key: each.through(step, secret=secret) for key, each in self.children.items()}
        return Trace(origins, below)


def _secret_paths(trace: Trace, here: Path) -> Iterator[Path]:
    if trace.secret:
        yield here
        return
    for step, child in trace.children.items():
        yield from _secret_paths(child, (*here, step))
