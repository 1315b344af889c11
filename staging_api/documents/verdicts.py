"""Verdicts on a buffer: the findings of its rendering, and the responses of the validators."""

from collections.abc import Iterator
from dataclasses import dataclass

from staging_api.documents.buffering import CurrentCollections
from staging_api.documents.contents import Contents
from staging_api.documents.messages import Message, Verdict, of_finding
from staging_api.documents.model import Fault, Finding, Level
from staging_api.documents.renderings import Renderings
from staging_api.documents.stored import State
from staging_api.documents.validators import Validators

#: Faults that a later post of another collection can correct: the buffer is incomplete, not wrong.
_INCOMPLETE = frozenset({Fault.LAYERING_POLICY_NOT_FOUND, Fault.SUBSTITUTION_SOURCE_NOT_FOUND})


@dataclass(frozen=True)
class Verdicts:
    """Judges buffers; a verdict holds messages in the format of the API."""

    contents: Contents
    renderings: Renderings
    validators: Validators

    def of_buffer(self, collections: State) -> Verdict:
        """Judge a buffer while other collections may still be posted."""
        return Verdict(tuple(self._incomplete(collections)))

    def of_commit(self, now: CurrentCollections, reference_id: str | None) -> Verdict:
        """Judge a buffer before its commit; call the validators only if rendering has no errors."""
        findings = self._findings(now.newest)
        verdict = Verdict(tuple(of_finding(each, collection=home) for each, home in findings))
        if verdict.errors:
            return verdict
        answers = self.validators.ask(now.newest_revision, reference_id)
        return verdict.adding(answers)

    def _incomplete(self, collections: State) -> Iterator[Message]:
        for finding, collection in self._findings(collections):
            level = Level.WARNING if finding.fault in _INCOMPLETE else None
            yield of_finding(finding, level, collection=collection)

    def _findings(self, collections: State) -> Iterator[tuple[Finding, str | None]]:
        """Yield all findings, each with the collection of the document to correct."""
        findings = self.renderings.of(collections).findings
        documents = self.contents.documents(collections) if findings else ()
        homes = {each.identity: each.collection for each in documents}
        for finding in findings:
            yield finding, homes.get(finding.documents[0]) if finding.documents else None
