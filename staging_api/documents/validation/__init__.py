"""Validation of built-in kinds, and of data against the DataSchema documents of the revision."""

from collections.abc import Iterable

from staging_api.documents.model import DEFAULT_LIMITS, Document, DocumentLimits, Finding
from staging_api.documents.rendering.model import Rendering
from staging_api.documents.validation.checks import SECRET_KINDS, Checker

#: Shared by all threads of the process: it keeps digests and schemas, but no data.
_CHECKER = Checker()


def validate(rendering: Rendering, limits: DocumentLimits = DEFAULT_LIMITS) -> tuple[Finding, ...]:
    """Check a rendered revision; without findings it may be committed."""
    return _CHECKER.findings(rendering, limits)


def check_schemas(documents: Iterable[Document]) -> tuple[Finding, ...]:
    """Check the DataSchema documents among `documents`, even before they can be rendered."""
    return _CHECKER.schema_findings(documents)


__all__ = ["SECRET_KINDS", "Checker", "check_schemas", "validate"]
