"""Choice of the output document for each schema and name: the only one, or its replacement."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from staging_api.documents.model import Document, Fault, Finding, Identity


class StandingDocument(NamedTuple):
    """The document in the output for a schema and name."""

    identity: Identity
    #: The document that `identity` replaces, if any.
    replaced: Identity | None = None


def standing_among(
    documents: Sequence[Document], chosen: Mapping[Identity, Identity]
) -> tuple[StandingDocument, Finding | None]:
    """Choose among the documents with the same schema and name, and report their faults.

    Args:
        documents: ordered by identity; at least one.
        chosen: the parent of each child.
    """
    wrong = _wrong(documents, chosen)
    if wrong is not None:
        names = tuple(document.identity for document in documents)
        fault = Fault.INVALID_DOCUMENT_REPLACEMENT
        return StandingDocument(names[0]), Finding(fault, wrong, names, ".metadata.replacement")
    for document in documents:
        if document.replacement:
            return StandingDocument(document.identity, chosen[document.identity]), None
    return StandingDocument(documents[0].identity), None


def _wrong(documents: Sequence[Document], chosen: Mapping[Identity, Identity]) -> str | None:
    replacing = [document for document in documents if document.replacement]
    if not replacing:
        return _same_name(documents, chosen) if len(documents) > 1 else None
    for document in replacing:
        wrong = _wrong_parent(chosen.get(document.identity), documents)
        if wrong is not None:
            return wrong
    if len(replacing) > 1:
        return "two documents replace the same one: keep one"
    if len(documents) > len(replacing) + 1:
        return "more than two documents have this schema and name, and only one can be replaced"
    return None


def _wrong_parent(parent: Identity | None, documents: Sequence[Document]) -> str | None:
    if parent is None:
        return "a replacement must have a parent, and its parentSelector finds none"
    for document in documents:
        if document.identity == parent:
            return "a replacement cannot be replaced again" if document.replacement else None
    return f"a replacement must have its parent's schema and name, and its parent is {parent}"


def _same_name(documents: Sequence[Document], chosen: Mapping[Identity, Identity]) -> str:
    names = {document.identity for document in documents}
    if any(chosen.get(name) in names for name in names):
        return "a child with its parent's schema and name must have replacement: true"
    return "two documents have this schema and name, and none has replacement: true"
