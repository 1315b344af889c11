"""Data model of documents, of the findings about them, and of their limits.

A document has three keys: ``schema``, ``metadata`` and ``data``. Its metadata names the layer
of the document, the parent that it builds on, and the values that it takes from other documents.
All classes are frozen, and the values that they hold must never be changed: renderings share them.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from staging_api.errors import FieldError, Invalid

LAYERING_POLICY = "deckhand/LayeringPolicy"
DATA_SCHEMA = "deckhand/DataSchema"
VALIDATION_POLICY = "deckhand/ValidationPolicy"

#: A path inside a document's data: keys of mappings and indexes of lists, outermost first.
Path = tuple[str | int, ...]


class StoragePolicy(StrEnum):
    """Policy for storing and showing a document's data."""

    CLEARTEXT = "cleartext"
    #: Stored encrypted, and shown only to callers with the right to see it.
    ENCRYPTED = "encrypted"


class Method(StrEnum):
    """Operation of a layering action on the value at its path."""

    MERGE = "merge"
    REPLACE = "replace"
    DELETE = "delete"


class Level(StrEnum):
    """Severity of a finding. Only errors forbid a commit."""

    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"


class Fault(StrEnum):
    """Kinds of faults in documents; the value is the name that messages show."""

    INVALID_YAML = "InvalidYaml"
    LIMIT_EXCEEDED = "LimitExceeded"
    INVALID_DOCUMENT_FORMAT = "InvalidDocumentFormat"
    DUPLICATE_DOCUMENT = "DuplicateDocument"
    LAYERING_POLICY_NOT_FOUND = "LayeringPolicyNotFound"
    #: More than one LayeringPolicy in one revision.
    LAYERING_POLICY_NOT_UNIQUE = "LayeringPolicyNotUnique"
    INVALID_DOCUMENT_LAYER = "InvalidDocumentLayer"
    INVALID_DOCUMENT_PARENT = "InvalidDocumentParent"
    INDETERMINATE_DOCUMENT_PARENT = "IndeterminateDocumentParent"
    INVALID_DOCUMENT_REPLACEMENT = "InvalidDocumentReplacement"
    MISSING_DOCUMENT_KEY = "MissingDocumentKey"
    SUBSTITUTION_DEPENDENCY_CYCLE = "SubstitutionDependencyCycle"
    SUBSTITUTION_SOURCE_NOT_FOUND = "SubstitutionSourceNotFound"
    SUBSTITUTION_SOURCE_DATA_NOT_FOUND = "SubstitutionSourceDataNotFound"
    #: Any other substitution that fails; the message gives the reason.
    INVALID_SUBSTITUTION = "InvalidSubstitution"
    #: A warning: the pattern matched nothing, so the text was left unchanged.
    PATTERN_WITHOUT_MATCH = "PatternWithoutMatch"
    #: A DataSchema document that is not a valid JSON Schema.
    INVALID_DATA_SCHEMA = "InvalidDataSchema"
    #: Data that does not conform to its DataSchema.
    INVALID_DATA = "InvalidData"

    @property
    def conflict(self) -> bool:
        """Whether other documents are missing, and this one is not wrong (HTTP 409, not 400)."""
        return self in _CONFLICTS

    @property
    def message_name(self) -> str:
        """The ``name`` of a ValidationMessage: ``D002`` for faults in data, else ``D001``."""
        return "D002" if self is Fault.INVALID_DATA else "D001"


_CONFLICTS = frozenset({Fault.LAYERING_POLICY_NOT_FOUND, Fault.SUBSTITUTION_SOURCE_NOT_FOUND})


class Identity(NamedTuple):
    """Schema, layer and name; unique among the documents of a revision before rendering."""

    schema: str
    #: Empty for control documents, which have no layer.
    layer: str
    name: str

    def __str__(self) -> str:
        on_layer = f" on layer {self.layer}" if self.layer else ""
        return f"{self.schema} {self.name}{on_layer}"


@dataclass(frozen=True, slots=True)
class Finding:
    """A fault or warning; never quotes a value of a document's data."""

    fault: Fault
    #: One sentence that names the fault and its correction.
    message: str
    #: The documents concerned; the first is the one to correct.
    documents: tuple[Identity, ...] = ()
    #: The field in the first document, such as ``.metadata.name`` or ``.data.hosts[0]``.
    path: str = ""
    #: Line number in the posted text, from 1.
    line: int | None = None
    #: Index of the document in the posted stream, from 0.
    index: int | None = None
    level: Level = Level.ERROR
    #: JSON values for programs; for faults in data: ``schema_path`` and ``validation_schema``.
    diagnostic: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        where = [str(self.documents[0])] if self.documents else []
        where += [f"document {self.index}"] if self.index is not None and not where else []
        where += [f"line {self.line}"] if self.line is not None else []
        where += [self.path] if self.path else []
        return f"{', '.join(where)}: {self.message}" if where else self.message


class DocumentsInvalid(Invalid):
    """The posted documents cannot be accepted; `findings` has one entry for each fault."""

    code, title = "documents_invalid", "The documents are not valid"

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        first, more = findings[0], len(findings) - 1
        detail = f"{first}; and {more} more" if more else str(first)
        fields = [FieldError(each.path or each.fault.value, str(each)) for each in findings]
        super().__init__(detail, fields)
        self.findings = findings

    @property
    def conflict(self) -> bool:
        """Whether all faults are missing documents (HTTP 409, not 400)."""
        return all(each.fault.conflict for each in self.findings)


class RenderingFailed(DocumentsInvalid):
    """The documents are valid one by one, but cannot be rendered together."""

    code, title = "rendering_failed", "The documents cannot be rendered"


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """Resource limits of documents; a document above one is refused, and the message names it."""

    #: Bytes in one posted stream.
    stream_bytes: int = 32 << 20
    #: Number of documents in one posted stream.
    documents: int = 50_000
    #: Number of keys and values in one stream: each costs the same time, however short it is.
    values: int = 1_000_000
    #: Nesting depth of mappings and lists.
    depth: int = 100
    #: Characters in all values of a stream, with aliases expanded; a container counts as one.
    expanded_size: int = 64 << 20
    #: Characters in all rendered documents together.
    rendered_size: int = 256 << 20
    #: The largest list index in a path: writing to an index fills the list up to it.
    list_index: int = 9_999
    #: Number of findings in one response; checking stops at this number.
    findings: int = 100
    #: CPU seconds for matching all patterns of one rendering.
    pattern_seconds: float = 5.0
    #: CPU seconds for checking one document against its DataSchema.
    check_seconds: float = 2.0
    #: CPU seconds for checking all documents.
    total_check_seconds: float = 20.0


DEFAULT_LIMITS = DocumentLimits()


@dataclass(frozen=True, slots=True)
class LayeringAction:
    """A layering action with its parsed path."""

    method: Method
    path: Path


@dataclass(frozen=True, slots=True)
class Destination:
    """A place that a substitution writes to."""

    path: Path
    #: If set, replace only the matches of this regular expression in the text at `path`.
    pattern: str | None = None
    #: Number of levels below `path` to search for texts: 0 none, -1 all. None: only `path` itself.
    recurse_depth: int | None = None


@dataclass(frozen=True, slots=True)
class Substitution:
    """A value to take from another document."""

    schema: str
    name: str
    path: Path
    pattern: str | None
    match_group: int
    destinations: tuple[Destination, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """A posted document. Create it with `documents.text.load_documents`."""

    schema: str
    name: str
    #: As posted; ``id`` and ``status`` beside it are ignored.
    metadata: Mapping[str, Any]
    data: Any
    #: Characters in the data, with aliases expanded (see `DocumentLimits.expanded_size`).
    size: int
    collection: str = ""
    #: Whether this is a control document: it steers rendering, is not layered, and is returned
    #: unchanged.
    control: bool = False
    layer: str = ""
    abstract: bool = False
    labels: Mapping[str, Any] = field(default_factory=dict)
    storage_policy: StoragePolicy = StoragePolicy.CLEARTEXT
    replacement: bool = False
    parent_selector: Mapping[str, Any] = field(default_factory=dict)
    actions: tuple[LayeringAction, ...] = ()
    substitutions: tuple[Substitution, ...] = ()
    #: The posted bytes from this document's ``---`` to the next; all slices joined are the stream.
    text: bytes = b""
    #: Index of the document in the posted stream, from 0, and the line that it begins on, from 1.
    index: int = 0
    line: int = 1

    @cached_property
    def identity(self) -> Identity:
        """Schema, layer and name."""
        return Identity(self.schema, self.layer, self.name)

    @cached_property
    def source_keys(self) -> tuple[tuple[str, str], ...]:
        """Schema and name of each substitution source, in order and without duplicates."""
        return tuple(dict.fromkeys((each.schema, each.name) for each in self.substitutions))

    @cached_property
    def kind(self) -> str:
        """The schema without its version."""
        return self.schema.rpartition("/")[0]

    @property
    def encrypted(self) -> bool:
        """Whether the storage policy requires encryption."""
        return self.storage_policy is StoragePolicy.ENCRYPTED

    @property
    def value(self) -> dict[str, Any]:
        """The document as one mapping of ``schema``, ``metadata`` and ``data``."""
        return {"schema": self.schema, "metadata": self.metadata, "data": self.data}

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of the canonical JSON of `value`; equal means unmodified."""
        return hashlib.sha256(canonical_json(self.value)).hexdigest()


def canonical_json(value: object) -> bytes:
    """Encode as UTF-8 JSON with sorted keys and no spaces: equal values have equal bytes."""
    text = json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return text.encode()
