"""Documents as text for a caller, either in full or with secrets redacted."""

from collections.abc import Iterable

from staging_api.documents.model import Document
from staging_api.documents.redaction import redacted, redacted_document
from staging_api.documents.rendering.model import Rendering
from staging_api.documents.text import dump


def posted_text(documents: Iterable[Document]) -> bytes:
    """Return the documents as posted, without the data of encrypted ones."""
    return dump(map(redacted_document, documents)).encode()


def rendered_text(rendering: Rendering, *, secrets: bool) -> bytes:
    """Return rendered documents; without `secrets`, redact values from encrypted documents."""
    return dump(
        each.value if secrets else redacted(each, rendering) for each in rendering.documents
    ).encode()
