"""Checks of a rendered revision: built-in kinds, and data against its DataSchema.

The JSON Schema libraries are imported with the first schema: most processes never need them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import TYPE_CHECKING, Any

from staging_api.documents.lines import line_of
from staging_api.documents.model import (
    DATA_SCHEMA,
    DEFAULT_LIMITS,
    Document,
    DocumentLimits,
    Fault,
    Finding,
    Identity,
    Path,
    canonical_json,
)
from staging_api.documents.paths import get, kind_of, path_text, shortened
from staging_api.documents.redaction import visible_path
from staging_api.documents.rendering.model import RenderedDocument, Rendering
from staging_api.documents.validation.build_lists import BUILDS_SCHEMA, faults_of
from staging_api.documents.validation.cpu_budget import CheckTooSlow, CpuBudget

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

    from staging_api.documents.validation.schemas import CompiledSchema

#: Kinds of secrets; their data must be a text.
SECRET_KINDS = frozenset(
    f"deckhand/{kind}"
    for kind in (
        "Certificate",
        "CertificateKey",
        "CertificateAuthority",
        "CertificateAuthorityKey",
        "Passphrase",
        "PrivateKey",
        "PublicKey",
    )
)
_SCHEMAS_KEPT = 1_000
_VERDICTS_KEPT = 100_000
#: Maximum number of characters of data quoted in a diagnostic.
_SECTION_LENGTH = 2_000

#: DataSchema documents by the schema that they describe: normally one each; several conflict.
_Schemas = Mapping[str, Sequence[Document]]


class Checker:
    """Cache of compiled schemas and of the documents that passed their checks; keeps no data."""

    def __init__(self) -> None:
        """Start with an empty cache."""
        self._compiled: dict[str, CompiledSchema] = {}
        self._sound: set[tuple[str, str]] = set()

    def schema_findings(
        self, documents: Iterable[Document], limits: DocumentLimits = DEFAULT_LIMITS
    ) -> tuple[Finding, ...]:
        """Return the findings about the DataSchema documents in `documents`."""
        watch = CpuBudget(limits.check_seconds, limits.total_check_seconds)
        found: list[Finding] = []
        for document in documents:
            if document.kind == DATA_SCHEMA and len(found) < limits.findings:
                compiled = self._of(document, watch)
                found += compiled if isinstance(compiled, tuple) else ()
        return tuple(found)

    def findings(
        self,
        rendering: Rendering,
        limits: DocumentLimits = DEFAULT_LIMITS,
        *,
        before: Rendering | None = None,
    ) -> tuple[Finding, ...]:
        """Check a rendered revision; only documents that are new to this checker cost time.

        Args:
            rendering: the revision.
            limits: CPU and size limits of the checks.
            before: a rendering without findings: documents unchanged since then are skipped, if the
                schemas are unchanged too.
        """
        watch = CpuBudget(limits.check_seconds, limits.total_check_seconds)
        schemas = rendering.data_schemas
        found = list(_rivals(schemas))
        found += self.schema_findings(chain.from_iterable(schemas.values()), limits)
        sound: Mapping[Identity, RenderedDocument] = {}
        if before is not None and _digests(before.data_schemas) == _digests(schemas):
            sound = before.by_identity
        for each in rendering.documents:
            if len(found) >= limits.findings:
                break
            # The same object was kept by the rendering, so none of its sources changed.
            if sound.get(each.document.identity) is each:
                continue
            found += _wrong_secret(each)
            found += _wrong_builds(each)
            if not each.document.control:
                for schema in schemas.get(each.document.schema, ()):
                    found += self._wrong_data(each, schema, watch)
        return tuple(found[: limits.findings])

    def _wrong_data(
        self, rendered: RenderedDocument, schema: Document, watch: CpuBudget
    ) -> Iterable[Finding]:
        verdict = (schema.digest, rendered.digest)
        if verdict in self._sound:
            return ()
        compiled = self._of(schema, watch)
        if isinstance(compiled, tuple):
            return ()
        found = tuple(_data_findings(rendered, schema, compiled, watch))
        if not found:
            # Clear the whole set, as it does not know its oldest entries; entries still in use are
            # checked once more.
            if len(self._sound) >= _VERDICTS_KEPT:
                self._sound.clear()
            self._sound.add(verdict)
        return found

    def _of(self, document: Document, watch: CpuBudget) -> "CompiledSchema | tuple[Finding, ...]":
        from staging_api.documents.validation.schemas import CompiledSchema, complaints_about

        known = self._compiled.get(document.digest)
        if known is not None:
            return known
        complaints = complaints_about(document.data, watch)
        # A complaint quotes the schema, which is secret in this case.
        if complaints and document.encrypted:
            message = "is not a JSON Schema of draft 4"
            return (_located(document, ("data",), Fault.INVALID_DATA_SCHEMA, message),)
        if complaints:
            return tuple(
                _located(document, ("data", *path), Fault.INVALID_DATA_SCHEMA, message)
                for path, message in complaints
            )
        if len(self._compiled) >= _SCHEMAS_KEPT:
            self._compiled.clear()
        made = self._compiled[document.digest] = CompiledSchema(document.data)
        return made


def _digests(schemas: _Schemas) -> Mapping[str, Sequence[str]]:
    return {name: [each.digest for each in documents] for name, documents in schemas.items()}


def _rivals(schemas: _Schemas) -> Iterator[Finding]:
    for name, documents in schemas.items():
        if len(documents) > 1:
            kinds = " and ".join(each.schema for each in documents)
            message = f"{kinds} are both for documents of {shortened(name)}: keep one"
            place = ("metadata", "name")
            finding = _located(documents[0], place, Fault.DUPLICATE_DOCUMENT, message)
            yield replace(finding, documents=tuple(each.identity for each in documents))


def _data_findings(
    rendered: RenderedDocument, schema: Document, compiled: "CompiledSchema", watch: CpuBudget
) -> Iterator[Finding]:
    from staging_api.documents.validation.schemas import SchemaUnusable

    names = (rendered.document.identity, schema.identity)
    try:
        errors = compiled.errors(rendered.data, watch)
    except CheckTooSlow:
        message = "needs too long to be checked against its DataSchema: make the schema simpler"
        yield Finding(Fault.INVALID_DATA, message, names, ".data")
        return
    except SchemaUnusable as unusable:
        reason = "it is encrypted, so not why" if schema.encrypted else str(unusable)
        message = f"cannot be applied to {rendered.document.identity}: {reason}"
        yield _located(schema, ("data",), Fault.INVALID_DATA_SCHEMA, message)
        return
    for error in errors:
        yield _data_finding(rendered, schema, error)


def _data_finding(
    rendered: RenderedDocument, schema: Document, error: "ValidationError"
) -> Finding:
    from staging_api.documents.validation.schemas import complaint

    path: Path = tuple(error.absolute_path)
    shown = visible_path(path, rendered.secret_paths)
    diagnostic: dict[str, Any] = {"validation_schema": schema.name}
    if schema.encrypted:
        message = f"must satisfy {error.validator}, as its DataSchema, a secret, has it"
    else:
        message = complaint(error)
        diagnostic["schema_path"] = [str(step) for step in error.absolute_schema_path]
    finding = _located(rendered.document, ("data", *shown), Fault.INVALID_DATA, message)
    section = get(rendered.data, path)
    if not rendered.touches_secret(path) and len(canonical_json(section)) <= _SECTION_LENGTH:
        diagnostic["error_section"] = section
    names = (rendered.document.identity, schema.identity)
    return replace(finding, documents=names, diagnostic=diagnostic)


def _wrong_secret(rendered: RenderedDocument) -> Iterable[Finding]:
    if rendered.document.kind in SECRET_KINDS and not isinstance(rendered.data, str):
        message = f"is {kind_of(rendered.data)}, and must be a text for {rendered.document.schema}"
        yield _located(rendered.document, ("data",), Fault.INVALID_DATA, message)


def _wrong_builds(rendered: RenderedDocument) -> Iterator[Finding]:
    document = rendered.document
    if document.schema != BUILDS_SCHEMA:
        return
    if rendered.secret_paths:
        # All callers can see which builds are staged.
        message = "names builds, which are no secret: it must not be, or hold, one"
        yield _located(document, ("data",), Fault.INVALID_DATA, message)
        return
    for path, message in faults_of(rendered.data):
        yield _located(document, ("data", *path), Fault.INVALID_DATA, message)


def _located(document: Document, path: Path, fault: Fault, message: str) -> Finding:
    """Create a finding with the line number in the posted text, if known."""
    text = path_text(path)
    line, index = (line_of(document, text), document.index) if document.text else (None, None)
    return Finding(fault, message, (document.identity,), shortened(text), line, index)
