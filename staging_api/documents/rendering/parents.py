"""Which document a child is layered on: the matching one on the nearest layer above."""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from staging_api.documents.model import Document, Fault, Finding, Identity

_PARENT_SELECTOR = ".metadata.layeringDefinition.parentSelector"
#: Documents that one finding names: of thousands, these are enough to find the mistake.
_MOST_NAMED = 20

#: A label as it is compared: 1, true and "1" are three values.
Pair = tuple[str, type, Any]
Selector = frozenset[Pair]


def pairs_of(labels: Mapping[str, Any]) -> frozenset[Pair]:
    """Labels, or a selector of them, as they are compared."""
    return frozenset((key, type(value), value) for key, value in labels.items())


class ParentCandidates:
    """The documents that one selector matches, for all children that have this selector."""

    def __init__(self, matching: Iterable[Document], ranks: Mapping[str, int]) -> None:
        """Order the matching documents by schema and by layer."""
        #: The first document of each schema.
        self._schemas: dict[str, Identity] = {}
        self._by_rank: dict[int, list[Identity]] = defaultdict(list)
        for document in sorted(matching, key=lambda each: each.identity):
            self._schemas.setdefault(document.schema, document.identity)
            # An unknown layer is a separate finding.
            self._by_rank[ranks.get(document.layer, -1)].append(document.identity)
        self._ranks = sorted(self._by_rank)

    def parent_of(self, child: Document, rank: int) -> tuple[Identity | None, Finding | None]:
        """Give the parent of a child on the layer of this rank, and the finding about it."""
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
        """Give a matching document on the child's layer or below; the child itself is none."""
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
