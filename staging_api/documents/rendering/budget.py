"""Resource budget of one rendering, and the exception for a document that cannot be rendered."""

from collections.abc import Iterable
from typing import Any

from staging_api.documents.model import DocumentLimits, Fault, Finding, Identity, Level
from staging_api.documents.patterns import Budget


class Unrenderable(Exception):
    """One document cannot be rendered; documents that do not need it still can."""

    def __init__(
        self, fault: Fault, message: str, documents: Iterable[Identity], path: str = ""
    ) -> None:
        """Create the finding about these documents."""
        super().__init__(message)
        self.finding = Finding(fault, message, tuple(documents), path)


class RenderingBudget:
    """Budgets for patterns and output size of a rendering, and the current document's warnings."""

    def __init__(self, limits: DocumentLimits) -> None:
        """Start with nothing spent."""
        self.limits = limits
        self.patterns = Budget(limits.pattern_seconds)
        #: Characters counted until now.
        self.spent = 0
        self._warnings: list[Finding] = []
        self._size_left = limits.rendered_size
        # By id; the containers are kept alive so that their ids are not reused.
        self._measures: dict[int, tuple[int, int, Any]] = {}

    def warn(self, fault: Fault, message: str, document: Identity, path: str) -> None:
        """Add a warning about a possible mistake."""
        self._warnings.append(Finding(fault, message, (document,), path, level=Level.WARNING))

    def begin(self) -> None:
        """Start with the next document, which has no warnings yet."""
        self._warnings = []

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The warnings of the current document."""
        return tuple(self._warnings)

    def keep(self, size: int) -> None:
        """Count characters of documents that are reused from the previous rendering."""
        self._size_left -= size

    def spend(self, size: int, document: Identity) -> None:
        """Count characters of rendered documents.

        Raises:
            Unrenderable: the total is above the limit.
        """
        self.spent += size
        self._size_left -= size
        if self._size_left < 0:
            limit = self.limits.rendered_size
            message = f"the rendered documents have more than {limit} characters"
            raise Unrenderable(Fault.LIMIT_EXCEEDED, message, (document,))

    def measure(self, value: Any) -> tuple[int, int]:
        """Return the size of a finished value in characters, and its nesting depth."""
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
