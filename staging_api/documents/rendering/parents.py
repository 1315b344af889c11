"""Choice of a child's parent: the document on the nearest layer above that its selector matches."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from staging_api.documents.model import Document, Fault, Finding, Identity

_PARENT_SELECTOR = ".metadata.layeringDefinition.parentSelector"
#: Maximum number of documents in one finding: enough to find the mistake among thousands.
_MOST_NAMED = 20

#: A label in comparable form: 1, true and "1" are three different values.
Pair = tuple[str, type, Any]
Selector = frozenset[Pair]


def pairs_of(labels: Mapping[str, Any]) -> frozenset[Pair]:
    """Convert labels, or a selector of labels, to their comparable form."""
    return frozenset((key, type(value), value) for key, value in labels.items())


class ParentCandidates:
    """The documents that one selector matches, for all children with this selector."""

    def __init__(self, matching: Iterable[Document], ranks: Mapping[str, int]) -> None:
        """Sort the matching documents by schema and layer."""
        #: The first document of each schema.
        self._schemas: dict[str, Identity] = {}
        self._by_rank: dict[int, list[Identity]] = defaultdict(list)
        for document in sorted(matching, key=lambda each: each.identity):
            self._schemas.setdefault(document.schema, document.identity)
            # An unknown layer gets a finding of its own.
            self._by_rank[ranks.get(document.layer, -1)].append(document.identity)
        self._ranks = sorted(self._by_rank)

    def parent_of(self, child: Document, rank: int) -> tuple[Identity | None, Finding | None]:
        """Return the parent of a child on the layer of this rank, and a finding if it is wrong."""
        other = self._of_another_schema(child)
        if other is not None:
            reason = f"{other}, whose schema is another"
            return None, _finding(Fault.INVALID_DOCUMENT_PARENT, child, reason, [other])
        other = self._not_above(child, rank)
        if other is not None:
            reason = f"{other}, whose layer is not above"
            return None, _finding(Fault.INVALID_DOCUMENT_PARENT, child, reason, [other])
        place = bisect_left(self._ranks, rank)
        if place == 0:
            return None, None
        found = self._by_rank[self._ranks[place - 1]]
        return found[0], _indeterminate(child, found) if len(found) > 1 else None

    def _of_another_schema(self, child: Document) -> Identity | None:
        for schema, first in self._schemas.items():
            if schema != child.schema:
                return first
        return None

    def _not_above(self, child: Document, rank: int) -> Identity | None:
        """Return a matching document on the child's layer or below, other than the child."""
        for below in reversed(self._ranks[bisect_left(self._ranks, rank) :]):
            for other in self._by_rank[below]:
                if other != child.identity:
                    return other
        return None


def _indeterminate(child: Document, found: Sequence[Identity]) -> Finding:
    where = f"on the nearest layer, {found[0].layer}, and must match one"
    reason = f"{len(found)} documents {where}"
    return _finding(Fault.INDETERMINATE_DOCUMENT_PARENT, child, reason, found[:_MOST_NAMED])


def _finding(fault: Fault, child: Document, reason: str, others: Iterable[Identity]) -> Finding:
    message = f"its parentSelector matches {reason}"
    return Finding(fault, message, (child.identity, *others), _PARENT_SELECTOR)
