"""Result of a rendering: finished documents, the origin of each value, and warnings."""

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
    """A document after layering, replacement and substitution."""

    #: As posted.
    document: Document
    #: The finished data. Renderings share values: never change them.
    data: Any
    trace: Trace
    #: Digest of the document and of all its sources and ancestors: equal digests mean equal `data`.
    digest: str
    #: Whether the document is in the output: concrete, and not replaced by another.
    returned: bool
    #: The document that this one is layered on, if any.
    parent: Identity | None = None
    #: The sources of its substitutions, in order and without duplicates.
    sources: tuple[Identity, ...] = ()
    #: Characters in the data; an upper bound.
    size: int = 0
    warnings: tuple[Finding, ...] = ()

    @cached_property
    def secret_paths(self) -> tuple[Path, ...]:
        """Paths to the secret values; ``((),)`` if all of the data is secret."""
        return self.trace.secret_paths()

    def touches_secret(self, path: Path) -> bool:
        """Return whether the value at a path is secret, contains a secret, or is inside one."""
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

    #: All documents, including abstract and replaced ones, ordered by identity.
    by_identity: Mapping[Identity, RenderedDocument]
    #: Relations between the documents, which the next rendering starts from.
    relations: Relations

    @property
    def everything(self) -> Iterable[RenderedDocument]:
        """All documents, ordered by identity."""
        return self.by_identity.values()

    @cached_property
    def documents(self) -> tuple[RenderedDocument, ...]:
        """The output: concrete documents that are not replaced, ordered by schema and name."""
        return tuple(self._by_key.values())

    @cached_property
    def data_schemas(self) -> Mapping[str, tuple[Document, ...]]:
        """The DataSchema documents, by the schema that each one describes.

        Each schema should have one DataSchema; ``v1`` and ``v2`` of DataSchema may have the same
        name.
        """
        found: dict[str, tuple[Document, ...]] = {}
        for each in self.documents:
            if each.document.kind == DATA_SCHEMA:
                name = each.document.name
                found[name] = (*found.get(name, ()), each.document)
        return found

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The warnings of all documents, such as a pattern that matched nothing."""
        return tuple(finding for each in self.everything for finding in each.warnings)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) over the digests of all documents: equal digests mean equal output."""
        return sha256("\n".join(each.digest for each in self.everything).encode()).hexdigest()

    def get(self, schema: str, name: str) -> RenderedDocument | None:
        """Look up a document in the output."""
        return self._by_key.get((schema, name))

    @cached_property
    def _by_key(self) -> Mapping[tuple[str, str], RenderedDocument]:
        found = {
            (each.document.schema, each.document.name): each
            for each in self.everything
            if each.returned
        }
        return dict(sorted(found.items()))
