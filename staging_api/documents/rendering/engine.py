"""The walk over the graph: each document once, behind what it needs."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256

from staging_api.documents.lines import line_of
from staging_api.documents.model import (
    DEFAULT_LIMITS,
    Document,
    Fault,
    Finding,
    Identity,
    Limits,
    RenderingFailed,
)
from staging_api.documents.rendering.draft import Draft
from staging_api.documents.rendering.layering import layer
from staging_api.documents.rendering.model import RenderedDocument, Rendering
from staging_api.documents.rendering.relations import Relations, relate
from staging_api.documents.rendering.substitution import substitute
from staging_api.documents.rendering.tracing import Origin, Trace
from staging_api.documents.rendering.work import Unrenderable, Work


def render(
    documents: Iterable[Document],
    previous: Rendering | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> Rendering:
    """Layer, replace and substitute all documents of a revision.

    The order of the documents does not matter, and they are not changed.

    Args:
        documents: those of all collections of the revision.
        previous: an earlier rendering, of this or another revision: what was made of the same
            documents there is taken over, so that only what a change reaches is rendered.
        limits: what the rendering may cost.

    Raises:
        RenderingFailed: with a finding for each document that cannot be rendered.
    """
    relations = relate(documents)
    _fail_if_any(relations.findings, relations, limits)
    rendered = _Walk(relations, previous, limits).walk(_order(relations, limits))
    return Rendering(tuple(rendered[number] for number in range(len(relations.documents))))


def _order(relations: Relations, limits: Limits) -> Iterable[int]:
    """Put every document behind those that it needs."""
    needs = {number: set(relations.needs(number)) for number in range(len(relations.documents))}
    users: dict[int, list[int]] = defaultdict(list)
    for number, needed in needs.items():
        for each in needed:
            users[each].append(number)
    missing = {number: len(needed) for number, needed in needs.items()}
    order = [number for number, count in missing.items() if count == 0]
    for number in order:
        for user in users[number]:
            missing[user] -= 1
            if missing[user] == 0:
                order.append(user)
    if len(order) < len(needs):
        cycle = _cycle(needs)
        way = " needs ".join(str(relations.documents[number].identity) for number in cycle)
        names = tuple(relations.documents[number].identity for number in cycle[:-1])
        finding = Finding(Fault.SUBSTITUTION_DEPENDENCY_CYCLE, f"{way}: a cycle", names)
        raise RenderingFailed(_with_lines([finding], relations, limits))
    return order


def _cycle(needs: Mapping[int, set[int]]) -> list[int]:
    """Give the documents of a cycle, each before what it needs; the first again as the last."""
    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        found: list[int] = error.args[1]
        return found[::-1]
    raise AssertionError


class _Walk:
    def __init__(self, relations: Relations, previous: Rendering | None, limits: Limits) -> None:
        self._relations = relations
        self._previous: Mapping[Identity, RenderedDocument] = (
            previous.by_identity if previous else {}
        )
        self._limits = limits
        self._work = Work(limits)
        self._done: dict[int, RenderedDocument] = {}
        self._findings: list[Finding] = []

    def walk(self, order: Iterable[int]) -> Mapping[int, RenderedDocument]:
        """Render in `order`; what needs a failed document is left out, and adds no finding."""
        for number in order:
            needs = self._relations.needs(number)
            try:
                needed = [self._done[each] for each in needs]
            except KeyError:
                continue
            try:
                self._done[number] = self._rendered(number, needed)
            except Unrenderable as error:
                self._findings.append(error.finding)
        _fail_if_any(self._findings, self._relations, self._limits)
        return self._done

    def _rendered(self, number: int, needed: list[RenderedDocument]) -> RenderedDocument:
        document = self._relations.documents[number]
        digest = _digest(document, self._relations.parents.get(number), needed)
        returned = not document.abstract and number not in self._relations.replaced_by
        known = self._previous.get(document.identity)
        if known is not None and known.digest == digest:
            self._work.spend(known.size, document.identity)
            if known.document is document and known.returned == returned:
                return known
            return replace(known, document=document, returned=returned)
        return self._made(number, document, digest, returned=returned)

    def _made(
        self, number: int, document: Document, digest: str, *, returned: bool
    ) -> RenderedDocument:
        own = Trace((Origin(document.identity, secret=document.encrypted),))
        parent = self._done.get(self._relations.parents.get(number, -1))
        self._work.warnings = []
        if parent is None:
            size = self._work.spend(document.size, document.identity)
            draft = Draft(document.data, own)
        else:
            size = self._work.spend(parent.size + document.size, document.identity)
            draft = layer(document, parent, own, self._work)
        sources = self._relations.sources.get(number, ())
        by_key = {
            (each.document.schema, each.document.name): each
            for each in (self._done[source] for source in sources)
        }
        size += substitute(document, draft, by_key, self._work)
        return RenderedDocument(
            document=document,
            data=draft.data,
            trace=draft.trace.further((), secret=document.encrypted),
            digest=digest,
            returned=returned,
            parent=parent.document.identity if parent else None,
            sources=tuple(self._relations.documents[source].identity for source in sources),
            size=size,
            warnings=tuple(self._work.warnings),
        )


def _digest(document: Document, parent: int | None, needed: Iterable[RenderedDocument]) -> str:
    """Digest a document with the digests of what it is made from, and so with all of its past."""
    if not needed:
        return document.digest
    digests = "".join(each.digest for each in needed)
    layered = parent is not None
    return sha256(f"{document.digest}{layered}{digests}".encode()).hexdigest()


def _fail_if_any(findings: list[Finding], relations: Relations, limits: Limits) -> None:
    if findings:
        raise RenderingFailed(_with_lines(findings, relations, limits))


def _with_lines(
    findings: list[Finding], relations: Relations, limits: Limits
) -> tuple[Finding, ...]:
    """Give findings in the order of their documents, with the lines of the posted texts."""
    documents = {document.identity: document for document in relations.documents}
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
