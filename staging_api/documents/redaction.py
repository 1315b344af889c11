"""Redaction of secrets for callers without permission to see them.

The redaction follows the data: a value is masked if it was written in an encrypted document, or
passed through one, by layering, replacement or substitution (`Trace`). All secrets have the same
mark, so that the mark reveals neither a short secret nor that two secrets are equal.
"""

from collections.abc import Iterable
from typing import Any

from staging_api.documents.editing import CopyOnWrite
from staging_api.documents.model import Document, Path
from staging_api.documents.paths import MISSING, get
from staging_api.documents.rendering.model import RenderedDocument, Rendering

REDACTED = "REDACTED"


def redacted(rendered: RenderedDocument, rendering: Rendering) -> dict[str, Any]:
    """Return a rendered document as a mapping, with its secrets masked.

    This masks secret values in ``data``, and the paths in ``metadata.substitutions`` into and out
    of secret documents. ``storagePolicy`` is not changed.

    Args:
        rendered: the document; it is not changed.
        rendering: the rendering of the document, to find out which sources are secret.
    """
    secret = {
        (source.schema, source.name)
        for source in rendered.sources
        if rendering.by_identity[source].secret_paths
    }
    metadata = _masked_metadata(rendered.document, secret)
    data = masked(rendered.data, rendered.secret_paths)
    return {"schema": rendered.document.schema, "metadata": metadata, "data": data}


def redacted_document(document: Document) -> dict[str, Any]:
    """Return a document as posted, with its data masked if it is encrypted."""
    data = REDACTED if document.encrypted else document.data
    return {**document.value, "data": data}


def masked(data: Any, secret_paths: Iterable[Path]) -> Any:
    """Return a copy of data with the mark at each of the paths."""
    copy = CopyOnWrite(data)
    for path in secret_paths:
        # A comparison masks each side by the secret paths of both, so a path may not exist here.
        if get(copy.value, path) is not MISSING:
            copy.put(path, REDACTED)
    return copy.value


def visible_path(path: Path, secret_paths: Iterable[Path]) -> Path:
    """Cut a path where it enters a secret value: the keys below are secret too."""
    for secret in secret_paths:
        if path[: len(secret)] == secret:
            return secret
    return path


def _masked_metadata(document: Document, secret: set[tuple[str, str]]) -> Any:
    copy = CopyOnWrite(document.metadata)
    for number, substitution in enumerate(document.substitutions):
        if (substitution.schema, substitution.name) not in secret:
            continue
        copy.put(("substitutions", number, "src", "path"), REDACTED)
        destination = ("substitutions", number, "dest")
        if isinstance(get(copy.value, destination), list):
            for place in range(len(substitution.destinations)):
                copy.put((*destination, place, "path"), REDACTED)
        else:
            copy.put((*destination, "path"), REDACTED)
    return copy.value
