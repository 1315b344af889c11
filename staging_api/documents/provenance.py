"""Where a rendered value came from, and what a document is used by.

Both read the traces and relations that rendering left; nothing is rendered again.
"""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from staging_api.documents.model import Document, Identity, Path
from staging_api.documents.paths import MISSING, get
from staging_api.documents.rendering.model import RenderedDocument, Rendering
from staging_api.documents.rendering.tracing import Origin, Step, Trace


@dataclass(frozen=True, slots=True)
class Source:
    """One place that a value came from."""

    #: The place in the rendered document: the one asked about, or one below it.
    path: Path
    #: The document that the value was written in, its collection, and the place in its data.
    document: Identity
    collection: str
    written_at: Path
    #: How it came from there, the first step first; empty: it was written here.
    steps: tuple[Step, ...]
    #: Whether the value is secret.
    secret: bool


@dataclass(frozen=True, slots=True)
class Use:
    """One document that is made from another."""

    document: Identity
    #: ``child`` of it, or ``substitution`` from it.
    relation: str
    #: Whether it is made from it directly, not through others.
    direct: bool


def why(rendered: RenderedDocument, rendering: Rendering, path: Path = ()) -> tuple[Source, ...]:
    """Say where the value at a place came from; more than one if it was put together.

    A text that a pattern changed has the value that was put in first, then the text that it was
    put into. A mapping or list that has parts from elsewhere is followed by those parts.

    Args:
        rendered: the document, one of `rendering`.
        rendering: what it is part of.
        path: the place in its data; ``()`` is all of it.

    Returns:
        Nothing, if the place is not there.
    """
    if get(rendered.data, path) is MISSING:
        return ()
    return tuple(_sources(rendered.trace.get(path), path, rendering, rendered.data))


def uses(rendering: Rendering, document: Identity) -> tuple[Use, ...]:
    """Say which documents are made from a document, and so are touched by a change of it.

    Direct users come first, then those that are made from them, each once.
    """
    users: dict[Identity, list[Use]] = defaultdict(list)
    for each in rendering.everything:
        if each.parent is not None:
            users[each.parent].append(Use(each.document.identity, "child", direct=True))
        for source in each.sources:
            users[source].append(Use(each.document.identity, "substitution", direct=True))
    found: dict[Identity, Use] = {}
    waiting = [document]
    for current in waiting:
        for use in users[current]:
            if use.document not in found:
                found[use.document] = Use(use.document, use.relation, current == document)
                waiting.append(use.document)
    return tuple(found.values())


def _sources(trace: Trace, path: Path, rendering: Rendering, data: object) -> Iterator[Source]:
    for origin in trace.origins:
        yield _source(origin, path, rendering)
    for step in trace.children:
        below = (*path, step)
        if get(data, below) is not MISSING:
            yield from _sources(trace.child(step), below, rendering, data)


def _source(origin: Origin, path: Path, rendering: Rendering) -> Source:
    written = rendering.by_identity[origin.document].document
    return Source(
        path=path,
        document=origin.document,
        collection=written.collection,
        written_at=_nearest(written, origin.path),
        steps=origin.steps[::-1],
        secret=origin.secret,
    )


def _nearest(document: Document, path: Path) -> Path:
    """Cut a place to what the document has: containers on the way to a value were made."""
    while path and get(document.data, path) is MISSING:
        path = path[:-1]
    return path
