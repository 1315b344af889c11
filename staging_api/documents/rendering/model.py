"""What rendering gives: the finished documents, where each value came from, and warnings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from staging_api.documents.model import DATA_SCHEMA, Document, Finding, Identity, Path
from staging_api.documents.rendering.relations import Relations
from staging_api.documents.rendering.tracing import Trace


@dataclass(frozen=True, eq=False)
class RenderedDocument:
    """One document after layering, replacement and substitution."""

    #: As posted.
    document: Document
    #: The finished data. Renderings share values: never change it.
    data: Any
    trace: Trace
    #: Digest of the document and of everything it was made from: equal digests, equal `data`.
    digest: str
    #: Whether it is in the output: concrete, and not replaced by another.
    returned: bool
    #: The document that it was layered on, if any.
    parent: Identity | None = None
    #: The documents that its substitutions took values from, in order, each once.
    sources: tuple[Identity, ...] = ()
    #: Characters of the data, an upper bound.
    size: int = 0
    warnings: tuple[Finding, ...] = ()

    @cached_property
    def secret_paths(self) -> tuple[Path, ...]:
        """The places that hold secret values; ``((),)`` if all of the data is secret."""
        return self.trace.secret_paths()

    def touches_secret(self, path: Path) -> bool:
        """Whether the value at a place is secret, holds a secret, or lies inside one."""
        return any(
            path[: len(secret)] == secret or secret[: len(path)] == path
            for secret in self.secret_paths
        )

    @property
    def value(self) -> dict[str, Any]:
        """The document as one mapping of ``schema``, ``metadata`` and ``data``, unredacted."""
        return {**self.document.value, "data": self.data}


@dataclass(frozen=True, eq=False)
class Rendering:
    """All documents of one revision, rendered."""

    #: Every document, also abstract and replaced ones, ordered by identity.
    by_identity: Mapping[Identity, RenderedDocument]
    #: What the next rendering builds on.
    relations: Relations

    @property
    def everything(self) -> Iterable[RenderedDocument]:
        """Every document, ordered by identity."""
        return self.by_identity.values()

    @cached_property
    def documents(self) -> tuple[RenderedDocument, ...]:
        """The output: concrete documents that no other replaces, ordered by schema and name."""
        return tuple(self._by_key.values())

    @cached_property
    def data_schemas(self) -> Mapping[str, tuple[Document, ...]]:
        """The DataSchema documents, by the schema of the documents that they are for.

        There should be one for each; ``v1`` and ``v2`` of DataSchema may have the same name.
        """
        found: dict[str, tuple[Document, ...]] = {}
        for each in self.documents:
            if each.document.kind == DATA_SCHEMA:
                name = each.document.name
                found[name] = (*found.get(name, ()), each.document)
        return found

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Warnings of all documents, such as a pattern that matched nothing."""
        return tuple(finding for each in self.everything for finding in each.warnings)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the digests of all documents: equal digests, equal output."""
        return sha256("\n".join(each.digest for each in self.everything).encode()).hexdigest()

    def get(self, schema: str, name: str) -> RenderedDocument | None:
        """Look up a document of the output."""
        return self._by_key.get((schema, name))

    @cached_property
    def _by_key(self) -> Mapping[tuple[str, str], RenderedDocument]:
        found = {
            (each.document.schema, each.document.name): each
            for each in self.everything
            if each.returned
        }
        return dict(sorted(found.items()))
