"""The budgets of one rendering, and how a document's rendering fails."""

from collections.abc import Iterable
from typing import Any

from staging_api.documents.model import DocumentLimits, Fault, Finding, Identity, Level
from staging_api.documents.patterns import Budget


class Unrenderable(Exception):
    """One document cannot be rendered; those that do not need it still can."""

    def __init__(
        self, fault: Fault, message: str, documents: Iterable[Identity], path: str = ""
    ) -> None:
        """Add a finding about these documents."""
        super().__init__(message)
        self.finding = Finding(fault, message, tuple(documents), path)


class RenderingBudget:
    """The budgets of one rendering, and the warnings of the document at hand."""

    def __init__(self, limits: DocumentLimits) -> None:
        """Begin with nothing spent."""
        self.limits = limits
        self.patterns = Budget(limits.pattern_seconds)
        #: Characters counted so far.
        self.spent = 0
        self._warnings: list[Finding] = []
        self._size_left = limits.rendered_size
        # By id; the containers are kept, so that no other can get their id.
        self._measures: dict[int, tuple[int, int, Any]] = {}

    def warn(self, fault: Fault, message: str, document: Identity, path: str) -> None:
        """Note what may be a mistake."""
        self._warnings.append(Finding(fault, message, (document,), path, level=Level.WARNING))

    def begin(self) -> None:
        """Begin with another document, which has no warnings yet."""
        self._warnings = []

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The warnings of the document at hand."""
        return tuple(self._warnings)

    def keep(self, size: int) -> None:
        """Count characters of documents that were rendered before."""
        self._size_left -= size

    def spend(self, size: int, document: Identity) -> None:
        """Count characters of rendered documents.

        Raises:
            Unrenderable: if they are more than allowed.
        """
        self.spent += size
        self._size_left -= size
        if self._size_left < 0:
            limit = self.limits.rendered_size
            message = f"the rendered documents have more than {limit} characters"
            raise Unrenderable(Fault.LIMIT_EXCEEDED, message, (document,))

    def measure(self, value: Any) -> tuple[int, int]:
        """Give the size of a finished value in characters, and its depth."""
        if isinstance(value, str):
            return len(value) + 1, 0
        if not isinstance(value, dict | list):
            return 8, 0
        known = self._measures.get(id(value))
        if known is None:
            size, depth = 1, 0
            for each in value.values() if isinstance(value, dict) else value:
                below = self.measure(each)
                size, depth = size + below[0], max(depth, below[1])
            if isinstance(value, dict):
                size += sum(map(len, value))
            known = self._measures[id(value)] = (size, depth + 1, value)
        return known[:2]
