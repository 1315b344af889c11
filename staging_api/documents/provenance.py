"""Where the values of a rendered document came from, and which documents it reaches in turn."""

from collections.abc import Iterator
from itertools import islice

from staging_api.documents.model import Identity, Path
from staging_api.documents.rendering.model import RenderedDocument, Rendering
from staging_api.documents.rendering.tracing import Origin, Trace

#: Places of one document that an answer lists.
_MOST = 10_000


def why(rendered: RenderedDocument, path: Path = ()) -> list[tuple[Path, Origin]]:
    """The origins of the value at a path, and of each place below that came from elsewhere.

    A value that patterns composed has several, the newest first. Of a secret, the path inside its
    document is left out: keys below it are secret too.
    """
    return list(islice(_origins(rendered.trace.get(path), path), _MOST))


def users(rendering: Rendering, identity: Identity) -> list[Identity]:
    """The documents that build on a document or take values from it, themselves or through others.

    They are what a change of it touches; in order of schema, layer and name.
    """
    return sorted(rendering.relations.reached_from([identity]) - {identity})


def _origins(trace: Trace, here: Path) -> Iterator[tuple[Path, Origin]]:
    for origin in trace.origins:
        path = () if origin.secret else origin.path
        yield here, Origin(origin.document, path, origin.secret, origin.steps)
    if trace.secret:
        return
    for step in trace.children:
        yield from _origins(trace.child(step), (*here, step))
