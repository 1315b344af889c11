"""Origins of the values of a rendered document, and the documents that depend on it."""

from collections.abc import Iterator
from itertools import islice

from staging_api.documents.model import Identity, Path
from staging_api.documents.rendering.model import RenderedDocument, Rendering
from staging_api.documents.rendering.tracing import Origin, Trace

#: Maximum number of places of one document in a response.
_MOST = 10_000


def why(rendered: RenderedDocument, path: Path = ()) -> list[tuple[Path, Origin]]:
    """Return the origins of the value at a path, and of the values below with other origins.

    A value composed by patterns has several origins, the newest first. For a secret, the path
    inside its document is left out, as the keys below a secret are secret too.
    """
    return list(islice(_origins(rendered.trace.get(path), path), _MOST))


def users(rendering: Rendering, identity: Identity) -> list[Identity]:
    """Return the documents that depend on a document, directly or through other documents.

    A change of the document affects them; ordered by schema, layer and name.
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
