"""Relations between the documents of one revision: layers, parents, replacements, sources.

Relations are computed incrementally from an earlier set, and share its unchanged parts. Only three
kinds of documents are examined: changed ones, children whose selector matches a changed one, and
documents that take values from a changed one; without an earlier set, that is all documents. An
earlier set with findings is never used, so all faults are found in the examined documents.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from staging_api.documents.model import LAYERING_POLICY, Document, Fault, Finding, Identity
from staging_api.documents.paths import shortened
from staging_api.documents.rendering.groups import Groups
from staging_api.documents.rendering.parents import Pair, ParentCandidates, Selector, pairs_of
from staging_api.documents.rendering.replacements import StandingDocument, standing_among

Key = tuple[str, str]


@dataclass(slots=True)
class Relations:
    """The dependency graph for rendering; never changed once it is complete."""

    documents: Mapping[Identity, Document]
    #: Rank of each layer in the layer order, from 0 for the base.
    ranks: Mapping[str, int] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    #: Documents that are new, or whose content, needs or part in the output changed.
    touched: set[Identity] = field(default_factory=set)
    #: Child -> the document that its selector matches.
    chosen: dict[Identity, Identity] = field(default_factory=dict)
    #: Replaced document -> its replacement.
    replaced_by: dict[Identity, Identity] = field(default_factory=dict)
    #: Schema and name -> the document in the output with this schema and name.
    standing: dict[Key, StandingDocument] = field(default_factory=dict)
    #: Document -> the sources of its substitutions, in order and without duplicates.
    sources: dict[Identity, tuple[Identity, ...]] = field(default_factory=dict)
    labelled: Groups[Pair, Identity] = field(default_factory=Groups)
    selectors: Groups[Pair, Selector] = field(default_factory=Groups)
    selecting: Groups[Selector, Identity] = field(default_factory=Groups)
    children: Groups[Identity, Identity] = field(default_factory=Groups)
    named: Groups[Key, Identity] = field(default_factory=Groups)
    takers: Groups[Key, Identity] = field(default_factory=Groups)

    def parent(self, identity: Identity) -> Identity | None:
        """Return the document that this one is layered on: its parent, or the parent's replacement.

        A replacement itself is layered on the document that it replaces.
        """
        chosen = self.chosen.get(identity)
        if chosen is None:
            return None
        replacement = self.replaced_by.get(chosen, chosen)
        return chosen if replacement == identity else replacement

    def needs(self, identity: Identity) -> tuple[Identity, ...]:
        """Return the documents that must be finished before this one."""
        parent, sources = self.parent(identity), self.sources.get(identity, ())
        return sources if parent is None else (parent, *sources)

    def needed_by(self, identity: Identity) -> set[Identity]:
        """Return the documents that need this one directly."""
        key = identity.schema, identity.name
        users: set[Identity] = set()
        standing = self.standing.get(key)
        if standing is not None and standing.identity == identity:
            users |= self.takers.get(key)
            if standing.replaced is not None:
                users |= self.children.get(standing.replaced) - {identity}
        replacement = self.replaced_by.get(identity)
        users |= self.children.get(identity) if replacement is None else {replacement}
        return users

    def reached_from(self, identities: Iterable[Identity]) -> set[Identity]:
        """Return these documents and all documents that need them, directly or indirectly."""
        found = set(identities)
        waiting = list(found)
        while waiting:
            for user in self.needed_by(waiting.pop()):
                if user not in found:
                    found.add(user)
                    waiting.append(user)
        return found


def relate(documents: Iterable[Document], before: Relations | None = None) -> Relations:
    """Find the relations between documents; `findings` has the faults.

    Args:
        documents: the documents of all collections, in any order.
        before: relations without findings, of this or another revision.
    """
    given, repeated = _by_identity(documents)
    ranks, wrong = _ranks(given.values())
    if repeated or wrong:
        return Relations(given, findings=[*repeated, *wrong])
    if before is None or before.ranks != ranks:
        before = Relations({})
    return _Update(given, ranks, before).made()


def _by_identity(documents: Iterable[Document]) -> tuple[dict[Identity, Document], list[Finding]]:
    found: dict[Identity, Document] = {}
    copies: dict[Identity, list[Document]] = {}
    for document in documents:
        first = found.setdefault(document.identity, document)
        if first is not document:
            copies.setdefault(document.identity, [first]).append(document)
    for identity, each in copies.items():
        found[identity] = min(each, key=lambda copy: (copy.collection, copy.index))
    return found, [_repeated(each) for each in copies.values()]


def _repeated(copies: Sequence[Document]) -> Finding:
    names = " and ".join(sorted(each.collection or "one" for each in copies))
    message = f"is there {len(copies)} times, in the collections {shortened(names)}: keep one"
    return Finding(Fault.DUPLICATE_DOCUMENT, message, (copies[0].identity,))


def _ranks(documents: Iterable[Document]) -> tuple[Mapping[str, int], list[Finding]]:
    policies = [each for each in documents if each.kind == LAYERING_POLICY]
    if len(policies) == 1:
        return {layer: rank for rank, layer in enumerate(policies[0].data["layerOrder"])}, []
    if policies:
        names = tuple(sorted(policy.identity for policy in policies))
        message = f"there are {len(policies)} LayeringPolicy documents, and must be one"
        return {}, [Finding(Fault.LAYERING_POLICY_NOT_UNIQUE, message, names)]
    if documents:
        message = f"there is no {LAYERING_POLICY}, and must be one: it orders the layers"
        return {}, [Finding(Fault.LAYERING_POLICY_NOT_FOUND, message)]
    return {}, []


class _Update:
    """Updates a copy of the old relations for the documents that were added, changed or removed."""

    def __init__(
        self, given: Mapping[Identity, Document], ranks: Mapping[str, int], before: Relations
    ) -> None:
        self._new = Relations(
            given,
            ranks,
            chosen=dict(before.chosen),
            replaced_by=dict(before.replaced_by),
            standing=dict(before.standing),
            sources=dict(before.sources),
            labelled=before.labelled.copy(),
            selectors=before.selectors.copy(),
            selecting=before.selecting.copy(),
            children=before.children.copy(),
            named=before.named.copy(),
            takers=before.takers.copy(),
        )
        old = before.documents
        self._is_first = not old
        self._removed = [each for identity, each in old.items() if identity not in given]
        self._added: list[Document] = []
        for identity, document in given.items():
            was = old.get(identity)
            # A document posted again is another object; with an equal digest it did not change.
            if was is not document and (was is None or was.digest != document.digest):
                self._added.append(document)
                self._removed += () if was is None else (was,)
        #: Schema and name of documents that changed, or whose parent changed.
        self._keys: set[Key] = set()

    def made(self) -> Relations:
        for document in self._removed:
            self._remove(document)
        for document in self._added:
            self._add(document)
            self._check_layer(document)
        self._choose_parents()
        self._choose_standing()
        self._find_sources()
        return self._new

    def _remove(self, document: Document) -> None:
        new, identity, key = self._new, document.identity, (document.schema, document.name)
        self._keys.add(key)
        new.named.discard(key, identity)
        new.sources.pop(identity, None)
        for source in document.source_keys:
            new.takers.discard(source, identity)
        if document.control:
            return
        for pair in pairs_of(document.labels):
            new.labelled.discard(pair, identity)
        selector = pairs_of(document.parent_selector)
        if selector:
            new.selecting.discard(selector, identity)
            if not new.selecting.get(selector):
                new.selectors.discard(_first(selector), selector)
            self._layer_on(identity, None)

    def _add(self, document: Document) -> None:
        new, identity, key = self._new, document.identity, (document.schema, document.name)
        self._keys.add(key)
        new.touched.add(identity)
        new.named.add(key, identity)
        for source in document.source_keys:
            new.takers.add(source, identity)
        if document.control:
            return
        for pair in pairs_of(document.labels):
            new.labelled.add(pair, identity)
        selector = pairs_of(document.parent_selector)
        if selector:
            new.selecting.add(selector, identity)
            new.selectors.add(_first(selector), selector)

    def _check_layer(self, document: Document) -> None:
        ranks = self._new.ranks
        if document.control or document.layer in ranks:
            return
        layer, known = shortened(document.layer), shortened(", ".join(ranks))
        self._new.findings.append(
            Finding(
                Fault.INVALID_DOCUMENT_LAYER,
                f"its layer {layer!r} is not in the layerOrder of the LayeringPolicy: {known}",
                (document.identity,),
                ".metadata.layeringDefinition.layer",
            )
        )

    def _choose_parents(self) -> None:
        for selector, children in self._selecting().items():
            matching = ParentCandidates(self._matching(selector), self._new.ranks)
            for child in children:
                rank = self._new.ranks.get(child.layer)
                if rank is None:
                    continue
                parent, wrong = matching.parent_of(self._new.documents[child], rank)
                self._new.findings += () if wrong is None else (wrong,)
                self._layer_on(child, parent)

    def _selecting(self) -> Mapping[Selector, set[Identity]]:
        """Group the children whose parent may have changed by their selectors."""
        new = self._new
        if self._is_first:
            return {selector: set(new.selecting.get(selector)) for selector in new.selecting}
        found: dict[Selector, set[Identity]] = {}
        for document in self._added:
            if document.parent_selector:
                selector = pairs_of(document.parent_selector)
                found.setdefault(selector, set()).add(document.identity)
        for labels in {pairs_of(each.labels) for each in (*self._removed, *self._added)}:
            for selector in {each for pair in labels for each in new.selectors.get(pair)}:
                if selector <= labels:
                    found.setdefault(selector, set()).update(new.selecting.get(selector))
        return found

    def _matching(self, selector: Selector) -> Iterator[Document]:
        having = sorted((self._new.labelled.get(pair) for pair in selector), key=len)
        for identity in having[0]:
            if all(identity in each for each in having[1:]):
                yield self._new.documents[identity]

    def _layer_on(self, child: Identity, parent: Identity | None) -> None:
        new, was = self._new, self._new.chosen.get(child)
        if parent == was:
            return
        if was is not None:
            new.children.discard(was, child)
            del new.chosen[child]
        if parent is not None:
            new.children.add(parent, child)
            new.chosen[child] = parent
        self._keys.add((child.schema, child.name))
        new.touched.add(child)

    def _choose_standing(self) -> None:
        new = self._new
        for key in self._keys:
            was, now = new.standing.pop(key, None), None
            members = [new.documents[each] for each in sorted(new.named.get(key))]
            if members:
                now, wrong = standing_among(members, new.chosen)
                new.standing[key] = now
                new.findings += () if wrong is None else (wrong,)
            if was != now:
                self._replace(was, now)

    def _replace(self, was: StandingDocument | None, now: StandingDocument | None) -> None:
        """Record that another document has this schema and name in the output."""
        new = self._new
        for each in (was, now):
            if each is not None and each.replaced is not None:
                # The children of the replaced document have another parent now.
                new.touched |= {each.replaced, *new.children.get(each.replaced)}
                new.replaced_by.pop(each.replaced, None)
        if now is not None and now.replaced is not None:
            new.replaced_by[now.replaced] = now.identity

    def _find_sources(self) -> None:
        new = self._new
        users = {each.identity for each in self._added if each.substitutions}
        users.update(user for key in self._keys for user in new.takers.get(key))
        for user in users:
            document = new.documents[user]
            found = [new.standing.get(key) for key in document.source_keys]
            sources = tuple(each.identity for each in found if each is not None)
            if None in found or any(new.documents[each].abstract for each in sources):
                new.findings += _missing_sources(document, new)
            if new.sources.get(user) != sources:
                new.sources[user] = sources
                new.touched.add(user)
        new.touched.intersection_update(new.documents)


def _first(selector: Selector) -> Pair:
    """Return the pair that indexes a selector: a document that it matches has all of its pairs."""
    return min(selector, key=lambda pair: pair[0])


def _missing_sources(document: Document, relations: Relations) -> Iterator[Finding]:
    for place, substitution in enumerate(document.substitutions):
        schema, name = substitution.schema, substitution.name
        source = relations.standing.get((schema, name))
        if source is not None and not relations.documents[source.identity].abstract:
            continue
        was = "is not there" if source is None else "is abstract, and must be concrete"
        yield Finding(
            Fault.SUBSTITUTION_SOURCE_NOT_FOUND,
            f"the source {shortened(schema)} {shortened(name)} {was}",
            (document.identity, Identity(schema, "", name)),
            f".metadata.substitutions[{place}].src",
        )
