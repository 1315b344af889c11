"""Documents as text for a caller: in full, or with a mark in the place of each secret."""

from collections.abc import Iterable

from staging_api.documents.model import Document
from staging_api.documents.redaction import redacted, redacted_document
from staging_api.documents.rendering.model import Rendering
from staging_api.documents.text import dump


def posted_text(documents: Iterable[Document]) -> bytes:
    """Documents as they were posted, without the data of those that are encrypted."""
    return dump(map(redacted_document, documents)).encode()


def rendered_text(rendering: Rendering, *, secrets: bool) -> bytes:
    """Rendered documents; without `secrets`, no value that came from an encrypted document."""
    return dump(
        each.value if secrets else redacted(each, rendering) for each in rendering.documents
    ).encode()
