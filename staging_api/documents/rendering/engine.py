"""Rendering engine: walks the dependency graph and renders each document after those it needs."""

from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256

from staging_api.documents.lines import line_of
from staging_api.documents.model import (
    DEFAULT_LIMITS,
    Document,
    DocumentLimits,
    Fault,
    Finding,
    Identity,
    RenderingFailed,
)
from staging_api.documents.rendering.budget import RenderingBudget, Unrenderable
from staging_api.documents.rendering.draft import Draft
from staging_api.documents.rendering.layering import layer
from staging_api.documents.rendering.model import RenderedDocument, Rendering
from staging_api.documents.rendering.relations import Relations, relate
from staging_api.documents.rendering.substitution import substitute
from staging_api.documents.rendering.tracing import Origin, Trace

#: Maximum number of documents of a cycle that its finding names.
_MOST_NAMED = 20


def render(
    documents: Iterable[Document],
    previous: Rendering | None = None,
    limits: DocumentLimits = DEFAULT_LIMITS,
) -> Rendering:
    """Layer, replace and substitute all documents of a revision.

    The order of the documents does not matter, and the documents are not changed.

    Args:
        documents: the documents of all collections of the revision.
        previous: an earlier rendering, of this or another revision: only documents that changed
            since then, and documents that depend on them, are related and rendered again.
        limits: resource limits of the rendering.

    Raises:
        RenderingFailed: with a finding for each document that cannot be rendered.
    """
    relations = relate(documents, None if previous is None else previous.relations)
    _fail_if_any(relations.findings, relations, limits)
    walk = _Walk(relations, {} if previous is None else previous.by_identity, limits)
    walk.render(_order(relations, limits))
    return Rendering(dict(sorted(walk.done.items())), relations)


def _order(relations: Relations, limits: DocumentLimits) -> list[Identity]:
    """Sort all documents that a change affects, each after the documents that it needs."""
    # A cycle that did not exist before contains a changed document, so all of its documents are
    # reached.
    reached = relations.reached_from(relations.touched)
    needs = {each: reached.intersection(relations.needs(each)) for each in sorted(reached)}
    missing = {identity: len(needed) for identity, needed in needs.items()}
    order = [identity for identity, count in missing.items() if count == 0]
    # The list grows while it is walked (Kahn's algorithm), so nothing recurses: a chain of
    # documents may be longer than Python's stack is deep.
    for identity in order:
        for user in relations.needed_by(identity):
            missing[user] -= 1
            if missing[user] == 0:
                order.append(user)
    stuck = needs.keys() - set(order)
    if stuck:
        # Neither these documents nor the cycle found depends on what was rendered before.
        among = {each: sorted(needs[each] & stuck) for each in sorted(stuck)}
        raise RenderingFailed(_with_lines([_cycle(among)], relations, limits))
    return order


def _cycle(needs: Mapping[Identity, Sequence[Identity]]) -> Finding:
    """Describe a cycle: each document before the one that it needs; the first is also the last."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        found: list[Identity] = error.args[1][::-1]
    way = list(map(str, found))
    if len(way) > _MOST_NAMED:
        way[_MOST_NAMED - 1 : -1] = [f"({len(way) - _MOST_NAMED} more)"]
    message = f"{' needs '.join(way)}: a cycle"
    return Finding(Fault.SUBSTITUTION_DEPENDENCY_CYCLE, message, tuple(found[:-1][:_MOST_NAMED]))


class _Walk:
    """One pass over the affected documents; the others are taken from the previous rendering."""

    def __init__(
        self,
        relations: Relations,
        previous: Mapping[Identity, RenderedDocument],
        limits: DocumentLimits,
    ) -> None:
        self._relations = relations
        self._previous = previous
        self._limits = limits
        self._work = RenderingBudget(limits)
        self._findings: list[Finding] = []
        #: The finished documents.
        self.done: dict[Identity, RenderedDocument] = {}

    def render(self, order: Sequence[Identity]) -> None:
        """Render in `order`; skip documents that need a failed one, without another finding."""
        self._take_over(set(order))
        failed: set[Identity] = set()
        for identity in order:
            needs = self._relations.needs(identity)
            if not failed.isdisjoint(needs):
                failed.add(identity)
                continue
            try:
                needed = [self.done[each] for each in needs]
                self.done[identity] = self._rendered(identity, needed)
            except Unrenderable as error:
                failed.add(identity)
                self._findings.append(error.finding)
        _fail_if_any(self._findings, self._relations, self._limits)

    def _take_over(self, reached: AbstractSet[Identity]) -> None:
        """Take unaffected documents from the previous rendering."""
        documents, size = self._relations.documents, 0
        for identity, known in self._previous.items():
            document = documents.get(identity)
            if document is not None and identity not in reached:
                size += known.size
                same = known.document is document
                self.done[identity] = known if same else replace(known, document=document)
        self._work.keep(size)

    def _rendered(self, identity: Identity, needed: list[RenderedDocument]) -> RenderedDocument:
        relations = self._relations
        document, parent = relations.documents[identity], relations.parent(identity)
        digest = _digest(document, needed, layered=parent is not None)
        returned = not document.abstract and identity not in relations.replaced_by
        known = self._previous.get(identity)
        if known is not None and known.digest == digest:
            self._work.spend(known.size, identity)
            return replace(known, document=document, returned=returned)
        before = self._work.spent
        draft = self._draft(document, None if parent is None else self.done[parent])
        sources = relations.sources.get(identity, ())
        by_key = {(each.schema, each.name): self.done[each] for each in sources}
        substitute(document, draft, by_key, self._work)
        return RenderedDocument(
            document=document,
            data=draft.data,
            trace=draft.trace.further((), secret=document.encrypted),
            digest=digest,
            returned=returned,
            parent=parent,
            sources=sources,
            size=self._work.spent - before,
            warnings=self._work.warnings,
        )

    def _draft(self, document: Document, parent: RenderedDocument | None) -> Draft:
        own = Trace((Origin(document.identity, secret=document.encrypted),))
        self._work.begin()
        self._work.spend(document.size, document.identity)
        if parent is None:
            return Draft(document.data, own)
        self._work.spend(parent.size, document.identity)
        return layer(document, parent, own, self._work)


def _digest(document: Document, needed: Sequence[RenderedDocument], *, layered: bool) -> str:
    """Digest a document with the digests of its parent and sources, which cover all ancestors."""
    if not needed:
        return document.digest
    # `layered` says whether the first digest is a parent's or a source's.
    digests = "".join(each.digest for each in needed)
    return sha256(f"{document.digest}{layered}{digests}".encode()).hexdigest()


def _fail_if_any(findings: list[Finding], relations: Relations, limits: DocumentLimits) -> None:
    if findings:
        raise RenderingFailed(_with_lines(findings, relations, limits))


def _with_lines(
    findings: list[Finding], relations: Relations, limits: DocumentLimits
) -> tuple[Finding, ...]:
    """Sort findings by document, and add the line numbers of the posted texts."""
    documents = relations.documents
    ordered = sorted(findings, key=lambda finding: (finding.documents, finding.path))
    located = []
    for finding in ordered[: limits.findings]:
        document = documents.get(finding.documents[0]) if finding.documents else None
        if document is not None and document.text:
            index, line = document.index, line_of(document, finding.path)
            located.append(replace(finding, index=index, line=line))
        else:
            located.append(finding)
    return tuple(located)
