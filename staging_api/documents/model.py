"""The nouns of the documents room: documents, findings about them, and limits.

A document has three keys: ``schema``, ``metadata`` and ``data``. Its metadata says on which layer
it lies, which parent it builds on, and which values it takes from other documents. All classes are
frozen, and the values that they hold must never be changed: renderings share them.
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

#: A place inside a document's data: keys of mappings and indexes of lists, from the outside in.
Path = tuple[str | int, ...]


class StoragePolicy(StrEnum):
    """How a document's data is stored and shown."""

    CLEARTEXT = "cleartext"
    #: Stored encrypted, and shown only to callers with the right to see it.
    ENCRYPTED = "encrypted"


class Method(StrEnum):
    """What a layering action does with the value at its path."""

    MERGE = "merge"
    REPLACE = "replace"
    DELETE = "delete"


class Level(StrEnum):
    """How grave a finding is. Only errors forbid a commit."""

    ERROR = "Error"
    WARNING = "Warning"
    INFO = "Info"


class Fault(StrEnum):
    """What can be wrong with documents; the value is the name that messages show."""

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
    #: Any other substitution that cannot be done; the message says why.
    INVALID_SUBSTITUTION = "InvalidSubstitution"
    #: A warning: the pattern matched nothing, so the text stayed as it was.
    PATTERN_WITHOUT_MATCH = "PatternWithoutMatch"
    #: A DataSchema document that is itself not a usable JSON Schema.
    INVALID_DATA_SCHEMA = "InvalidDataSchema"
    #: Data that its DataSchema refuses.
    INVALID_DATA = "InvalidData"

    @property
    def conflict(self) -> bool:
        """Whether other documents are missing, rather than this one wrong (HTTP 409, not 400)."""
        return self in _CONFLICTS

    @property
    def message_name(self) -> str:
        """The ``name`` of a ValidationMessage: ``D002`` for data, ``D001`` for all else."""
        return "D002" if self is Fault.INVALID_DATA else "D001"


_CONFLICTS = frozenset({Fault.LAYERING_POLICY_NOT_FOUND, Fault.SUBSTITUTION_SOURCE_NOT_FOUND})


class Identity(NamedTuple):
    """Schema, layer and name: unique among the documents of a revision before rendering."""

    schema: str
    #: The empty text for control documents, which have no layer.
    layer: str
    name: str

    def __str__(self) -> str:
        on_layer = f" on layer {self.layer}" if self.layer else ""
        return f"{self.schema} {self.name}{on_layer}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault or warning; never quotes a value of a document's data."""

    fault: Fault
    #: One sentence: the fault and its correction.
    message: str
    #: The documents that it is about, the one to change first.
    documents: tuple[Identity, ...] = ()
    #: The field in the first document, such as ``.metadata.name`` or ``.data.hosts[0]``.
    path: str = ""
    #: The line in the posted text, from 1.
    line: int | None = None
    #: Which document of the posted stream, from 0.
    index: int | None = None
    level: Level = Level.ERROR
    #: JSON values for programs: for data, ``schema_path`` and ``validation_schema``.
    diagnostic: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        where = [str(self.documents[0])] if self.documents else []
        where += [f"document {self.index}"] if self.index is not None and not where else []
        where += [f"line {self.line}"] if self.line is not None else []
        where += [self.path] if self.path else []
        return f"{', '.join(where)}: {self.message}" if where else self.message


class DocumentsInvalid(Invalid):
    """Posted documents that cannot be taken; `findings` has one entry for each fault."""

    code, title = "documents_invalid", "The documents are not valid"

    def __init__(self, findings: tuple[Finding, ...]) -> None:
        first, more = findings[0], len(findings) - 1
        detail = f"{first}; and {more} more" if more else str(first)
        fields = [FieldError(each.path or each.fault.value, str(each)) for each in findings]
        super().__init__(detail, fields)
        self.findings = findings

    @property
    def conflict(self) -> bool:
        """Whether every fault is about documents that are missing (HTTP 409, not 400)."""
        return all(each.fault.conflict for each in self.findings)


class RenderingFailed(DocumentsInvalid):
    """Documents that are valid one by one, but cannot be rendered together."""

    code, title = "rendering_failed", "The documents cannot be rendered"


@dataclass(frozen=True, slots=True)
class DocumentLimits:
    """What documents may cost; beyond it they are refused, with the limit in the message."""

    #: Bytes of one posted stream.
    stream_bytes: int = 32 << 20
    #: Documents of one posted stream.
    documents: int = 50_000
    #: Keys and values of a stream, which cost the same time however short they are.
    values: int = 1_000_000
    #: Mappings and lists inside each other.
    depth: int = 100
    #: Characters of all values of a stream, aliases written out; a container counts as one.
    expanded_size: int = 64 << 20
    #: Characters of all rendered documents together.
    rendered_size: int = 256 << 20
    #: The largest index that a path may name: a list is filled up to it.
    list_index: int = 9_999
    #: Findings of one answer; looking stops there.
    findings: int = 100
    #: CPU seconds that all patterns of one rendering may take together.
    pattern_seconds: float = 5.0
    #: CPU seconds that the check of one document against its DataSchema may take.
    check_seconds: float = 2.0
    #: CPU seconds that the checks of all documents may take together.
    total_check_seconds: float = 20.0


DEFAULT_LIMITS = DocumentLimits()


@dataclass(frozen=True, slots=True)
class LayeringAction:
    """One layering action; its path is already understood."""

    method: Method
    path: Path


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a substitution writes."""

    path: Path
    #: Only the matches of this regular expression in the text at `path` are replaced.
    pattern: str | None = None
    #: How many levels below `path` are searched for texts: 0 none, -1 all. None: only `path`.
    recurse_depth: int | None = None


@dataclass(frozen=True, slots=True)
class Substitution:
    """One value taken from another document."""

    schema: str
    name: str
    path: Path
    pattern: str | None
    match_group: int
    destinations: tuple[Destination, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Document:
    """One posted document. Make it with `documents.text.load_documents`."""

    schema: str
    name: str
    #: As posted, without ``id`` and ``status`` beside it.
    metadata: Mapping[str, Any]
    data: Any
    #: Characters of the data, aliases written out (see `DocumentLimits.expanded_size`).
    size: int
    collection: str = ""
    #: Control documents steer rendering; they are not layered, and returned as they are.
    control: bool = False
    layer: str = ""
    abstract: bool = False
    labels: Mapping[str, Any] = field(default_factory=dict)
    storage_policy: StoragePolicy = StoragePolicy.CLEARTEXT
    replacement: bool = False
    parent_selector: Mapping[str, Any] = field(default_factory=dict)
    actions: tuple[LayeringAction, ...] = ()
    substitutions: tuple[Substitution, ...] = ()
    #: The bytes posted, from its ``---`` to the next one; all slices joined are the stream.
    text: bytes = b""
    #: Which document of the posted stream, from 0, and the line that it begins on, from 1.
    index: int = 0
    line: int = 1

    @cached_property
    def identity(self) -> Identity:
        """Schema, layer and name."""
        return Identity(self.schema, self.layer, self.name)

    @cached_property
    def source_keys(self) -> tuple[tuple[str, str], ...]:
        """Schema and name of the documents that substitutions take from, in order, each once."""
        return tuple(dict.fromkeys((each.schema, each.name) for each in self.substitutions))

    @cached_property
    def kind(self) -> str:
        """The schema without its version."""
        return self.schema.rpartition("/")[0]

    @property
    def encrypted(self) -> bool:
        """Whether the storage policy asks for encryption."""
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
    """UTF-8 JSON with sorted keys and no spaces: equal values have equal bytes."""
    text = json.dumps(
        value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False
    )
    return text.encode()
