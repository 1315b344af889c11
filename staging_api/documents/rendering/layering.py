"""Layering: run a child's actions in order on a copy of its parent's finished data."""

from staging_api.documents.editing import PlaceUnusable
from staging_api.documents.model import Document, Fault, LayeringAction, Method
from staging_api.documents.paths import MISSING, get, path_text
from staging_api.documents.rendering.budget import RenderingBudget, Unrenderable
from staging_api.documents.rendering.draft import Draft
from staging_api.documents.rendering.model import RenderedDocument
from staging_api.documents.rendering.tracing import Trace, TraceStep


def layer(child: Document, parent: RenderedDocument, own: Trace, work: RenderingBudget) -> Draft:
    """Return a draft of the child: the parent's data, changed by the child's actions.

    Raises:
        Unrenderable: `MISSING_DOCUMENT_KEY`, with the action and both documents.
    """
    step = TraceStep(child.identity, "layeringDefinition.parentSelector")
    draft = Draft(parent.data, parent.trace.further((step,)))
    for number, action in enumerate(child.actions):
        instruction = f"layeringDefinition.actions[{number}]"
        try:
            _act(draft, action, child, own, work)
        except PlaceUnusable as error:
            raise Unrenderable(
                Fault.MISSING_DOCUMENT_KEY,
                f"cannot {action.method} {path_text(action.path)}: {error}",
                (child.identity, parent.document.identity),
                f".metadata.{instruction}.path",
            ) from None
    return draft


def _act(
    draft: Draft, action: LayeringAction, child: Document, own: Trace, work: RenderingBudget
) -> None:
    path = action.path
    if action.method is Method.DELETE:
        draft.remove(path, own)
        return
    value = get(child.data, path)
    if value is MISSING:
        raise PlaceUnusable(f"the data of {child.identity} has nothing there")
    work.spend(work.measure(value)[0], child.identity)
    if action.method is Method.MERGE:
        draft.merge(path, value, own.get(path))
    else:
        draft.put(path, value, own.get(path))
