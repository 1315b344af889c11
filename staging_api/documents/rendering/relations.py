"""How the documents of one revision relate: layers, parents, replacements, sources.

Documents are numbered by their order of identity, so that nothing depends on the order in which
they were given.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from staging_api.documents.model import LAYERING_POLICY, Document, Fault, Finding, Identity
from staging_api.documents.paths import shortened

_PARENT_SELECTOR = ".metadata.layeringDefinition.parentSelector"


@dataclass(slots=True)
class Relations:
    """The graph that rendering follows; numbers are places in `documents`."""

    documents: Sequence[Document]
    findings: list[Finding] = field(default_factory=list)
    #: Child -> the document that it is layered on, its replacement if it has one.
    parents: dict[int, int] = field(default_factory=dict)
    #: Replaced document -> its replacement.
    replaced_by: dict[int, int] = field(default_factory=dict)
    #: Schema and name -> the document that stands for them in the output.
    standing: dict[tuple[str, str], int] = field(default_factory=dict)
    #: Document -> the documents that it takes values from, in order, each once.
    sources: dict[int, tuple[int, ...]] = field(default_factory=dict)

    def needs(self, number: int) -> tuple[int, ...]:
        """The documents that must be finished before this one."""
        parent = self.parents.get(number)
        sources = self.sources.get(number, ())
        return sources if parent is None else (parent, *sources)


def relate(documents: Iterable[Document]) -> Relations:
    """Find out how documents relate; `findings` has what is wrong."""
    ordered = sorted(documents, key=lambda document: document.identity)
    relations = Relations(ordered)
    relations.findings += _repeated(ordered)
    ranks = _ranks(relations)
    if relations.findings or not ordered:
        return relations
    _check_layers(relations, ranks)
    chosen = _parents(relations, ranks)
    _replacements(relations, chosen)
    for child, parent in chosen.items():
        replacement = relations.replaced_by.get(parent, parent)
        relations.parents[child] = parent if replacement == child else replacement
    _sources(relations)
    return relations


def _repeated(ordered: Sequence[Document]) -> Iterable[Finding]:
    for one, other in pairwise(ordered):
        if one.identity == other.identity:
            where = f"{one.collection or 'one'} and {other.collection or 'the same'}"
            message = f"is there twice, in the collections {where}: keep one"
            yield Finding(Fault.DUPLICATE_DOCUMENT, message, (other.identity,))


def _ranks(relations: Relations) -> Mapping[str, int]:
    """Give each layer's place in the order of layers, the base first."""
    policies = [each for each in relations.documents if each.kind == LAYERING_POLICY]
    if len(policies) == 1:
        return {layer: rank for rank, layer in enumerate(policies[0].data["layerOrder"])}
    if policies:
        names = tuple(policy.identity for policy in policies)
        message = f"there are {len(policies)} LayeringPolicy documents, and must be one"
        relations.findings.append(Finding(Fault.LAYERING_POLICY_NOT_UNIQUE, message, names))
    elif relations.documents:
        message = f"there is no {LAYERING_POLICY}, and must be one: it orders the layers"
        relations.findings.append(Finding(Fault.LAYERING_POLICY_NOT_FOUND, message))
    return {}


def _check_layers(relations: Relations, ranks: Mapping[str, int]) -> None:
    for document in relations.documents:
        if not document.control and document.layer not in ranks:
            layer, known = shortened(document.layer), shortened(", ".join(ranks))
            message = f"its layer {layer!r} is not in the layerOrder of the LayeringPolicy: {known}"
            finding = Finding(
                Fault.INVALID_DOCUMENT_LAYER,
                message,
                (document.identity,),
                ".metadata.layeringDefinition.layer",
            )
            relations.findings.append(finding)


def _parents(relations: Relations, ranks: Mapping[str, int]) -> dict[int, int]:
    """Choose each child's parent: the matching document on the nearest layer above."""
    labelled = _labelled(relations.documents)
    chosen: dict[int, int] = {}
    for number, child in enumerate(relations.documents):
        if not child.parent_selector or child.layer not in ranks:
            continue
        matching = _matching(child, labelled) - {number}
        wrong = _wrong_parent(child, sorted(matching), relations.documents, ranks)
        if wrong is not None:
            relations.findings.append(wrong)
        elif matching:
            above = {other: ranks.get(relations.documents[other].layer, -1) for other in matching}
            nearest = max(above.values())
            found = sorted(other for other, rank in above.items() if rank == nearest)
            chosen[number] = found[0]
            if len(found) > 1:
                relations.findings.append(_indeterminate(child, found, relations.documents))
    return chosen


def _labelled(documents: Sequence[Document]) -> Mapping[tuple[Any, ...], set[int]]:
    labelled: dict[tuple[Any, ...], set[int]] = defaultdict(set)
    for number, document in enumerate(documents):
        if not document.control:
            for pair in _pairs(document.labels):
                labelled[pair].add(number)
    return labelled


def _matching(child: Document, labelled: Mapping[tuple[Any, ...], set[int]]) -> set[int]:
    candidates = [labelled.get(pair, set()) for pair in _pairs(child.parent_selector)]
    candidates.sort(key=len)
    return candidates[0].intersection(*candidates[1:])


def _pairs(labels: Mapping[str, Any]) -> Iterable[tuple[Any, ...]]:
    """Labels as they are compared: 1, true and "1" are three values."""
    return ((key, type(value), value) for key, value in labels.items())


def _wrong_parent(
    child: Document,
    matching: Iterable[int],
    documents: Sequence[Document],
    ranks: Mapping[str, int],
) -> Finding | None:
    for number in matching:
        other = documents[number]
        if other.schema != child.schema:
            reason = f"{other.identity}, whose schema is another"
        elif other.layer in ranks and ranks[other.layer] >= ranks[child.layer]:
            reason = f"{other.identity}, whose layer is not above"
        else:
            continue
        return _parent_finding(Fault.INVALID_DOCUMENT_PARENT, child, reason, [other])
    return None


def _indeterminate(child: Document, found: Iterable[int], documents: Sequence[Document]) -> Finding:
    others = [documents[number] for number in found]
    reason = f"{len(others)} documents on the nearest layer, {others[0].layer}, and must match one"
    return _parent_finding(Fault.INDETERMINATE_DOCUMENT_PARENT, child, reason, others)


def _parent_finding(
    fault: Fault, child: Document, reason: str, others: Iterable[Document]
) -> Finding:
    names = (child.identity, *(other.identity for other in others))
    return Finding(fault, f"its parentSelector matches {reason}", names, _PARENT_SELECTOR)


def _replacements(relations: Relations, chosen: Mapping[int, int]) -> None:
    """Find which document stands for each schema and name."""
    standing = relations.standing
    groups: dict[tuple[str, str], list[int]] = {}
    for number, document in enumerate(relations.documents):
        key = document.schema, document.name
        first = standing.setdefault(key, number)
        if first != number or document.replacement:
            groups.setdefault(key, [first]).append(number)
    for key, found in groups.items():
        numbers = tuple(dict.fromkeys(found))
        wrong = _wrong_replacement(numbers, relations.documents, chosen)
        if wrong is not None:
            names = tuple(relations.documents[number].identity for number in numbers)
            fault = Fault.INVALID_DOCUMENT_REPLACEMENT
            relations.findings.append(Finding(fault, wrong, names, ".metadata.replacement"))
        elif len(numbers) > 1:
            replacing = next(each for each in numbers if relations.documents[each].replacement)
            standing[key] = replacing
            relations.replaced_by[chosen[replacing]] = replacing


def _wrong_replacement(
    numbers: Sequence[int], documents: Sequence[Document], chosen: Mapping[int, int]
) -> str | None:
    replacing = [number for number in numbers if documents[number].replacement]
    if not replacing:
        return _same_name(numbers, chosen) if len(numbers) > 1 else None
    for number in replacing:
        wrong = _wrong_parent_of_replacement(chosen.get(number), numbers, documents)
        if wrong is not None:
            return wrong
    if len(replacing) > 1:
        return "two documents replace the same one: keep one"
    if len(numbers) > len(replacing) + 1:
        return "more than two documents have this schema and name, and only one can be replaced"
    return None


def _wrong_parent_of_replacement(
    parent: int | None, numbers: Sequence[int], documents: Sequence[Document]
) -> str | None:
    if parent is None:
        return "a replacement must have a parent, and its parentSelector finds none"
    if parent not in numbers:
        name = documents[parent].identity
        return f"a replacement must have its parent's schema and name, and its parent is {name}"
    return "a replacement cannot be replaced again" if documents[parent].replacement else None


def _same_name(numbers: Sequence[int], chosen: Mapping[int, int]) -> str:
    if any(chosen.get(number) in numbers for number in numbers):
        return "a child with its parent's schema and name must have replacement: true"
    return "two documents have this schema and name, and none has replacement: true"


def _sources(relations: Relations) -> None:
    find = relations.standing.get
    unusable = {number for number, each in enumerate(relations.documents) if each.abstract}
    for number, document in enumerate(relations.documents):
        if not document.substitutions:
            continue
        found = [source for source in map(find, document.source_keys) if source is not None]
        if len(found) < len(document.source_keys) or not unusable.isdisjoint(found):
            relations.findings += _missing_sources(document, relations)
        relations.sources[number] = tuple(found)


def _missing_sources(document: Document, relations: Relations) -> Iterable[Finding]:
    for place, substitution in enumerate(document.substitutions):
        schema, name = substitution.schema, substitution.name
        source = relations.standing.get((schema, name))
        if source is not None and not relations.documents[source].abstract:
            continue
        was = "is not there" if source is None else "is abstract, and must be concrete"
        yield Finding(
            Fault.SUBSTITUTION_SOURCE_NOT_FOUND,
            f"the source {shortened(schema)} {shortened(name)} {was}",
            (document.identity, Identity(schema, "", name)),
            f".metadata.substitutions[{place}].src",
        )
