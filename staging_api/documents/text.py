"""Conversion between YAML text and documents.

Input is read as YAML 1.1, as the clients and Deckhand, the ancestor, write it. Output has the same
values for parsers of 1.1 and of 1.2: texts that one of them would read as a number, a boolean,
null or a date are quoted.
"""

import re
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any

import yaml

from staging_api.documents.fields import Faults, field_text
from staging_api.documents.lines import DocumentLines
from staging_api.documents.model import (
    DEFAULT_LIMITS,
    LAYERING_POLICY,
    Document,
    DocumentsInvalid,
    Fault,
    Finding,
    Identity,
)
from staging_api.documents.reading import Node, read_stream
from staging_api.documents.shape import shaped

_Dumper: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
#: Texts that a parser of YAML 1.1 or 1.2 would not read as a text.
_AMBIGUOUS = re.compile(
    r"""[-+]?[0-9][0-9_]*
      | [-+]?0[box][0-9a-fA-F_]+
      | [-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?
      | [-+]?[0-9][0-9_]*(?::[0-9]{1,2})+(?:\.[0-9_]*)?
      | [0-9]{4}-[0-9]{1,2}-[0-9]{1,2}.*
      | [-+]?\.(?:inf|nan)
      | y | n | yes | no | on | off | true | false | null | ~ | = | << |""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)
#: Characters that are line breaks for parsers of 1.1, but not for those of 1.2.
_OTHER_BREAKS = re.compile("[\x85\u2028\u2029\ufeff]")
#: Multi-line texts that can safely be written as a literal block, which is easier to read.
_BLOCK = re.compile(
    r"(?!\s)(?:[^\s\x00-\x1f\x7f-\xa0][^\x00-\x1f\x7f-\xa0]*)?(?:\n[^\x00-\x1f\x7f-\xa0]*)*"
)
_UNFOLDED = 1 << 30


def load_documents(raw: bytes, *, collection: str = "") -> tuple[Document, ...]:
    """Read the documents of a YAML stream; empty documents between two ``---`` are skipped.

    Args:
        raw: the stream, UTF-8.
        collection: the collection that the documents belong to.

    Raises:
        DocumentsInvalid: with a finding for each fault: document, field and line.
    """
    stream = read_stream(raw, DEFAULT_LIMITS)
    findings, most = list(stream.findings), DEFAULT_LIMITS.findings
    documents: list[Document] = []
    for node in stream.nodes:
        if len(findings) >= most:
            break
        faults, document = Faults(), None
        if node.value is not None:
            posted = {"text": node.text, "index": node.index, "line": node.line, "size": node.size}
            document = shaped(node.value, faults, collection=collection, **posted)
        if document is not None:
            documents.append(document)
        else:
            findings += _shape_findings(node, faults)
    findings += (found for _, found in exclusions(documents, lambda each: f"line {each.line}"))
    if findings:
        raise DocumentsInvalid(tuple(sorted(findings, key=_place)[:most]))
    return tuple(documents)


def dump(values: Iterable[Any]) -> str:
    """Write values as a YAML stream, each after ``---``: keys sorted, block style, no aliases."""
    return str(
        yaml.dump_all(
            values,
            Dumper=_Writer,
            default_flow_style=False,
            explicit_start=True,
            allow_unicode=True,
            width=_UNFOLDED,
        )
    )


class _Writer(_Dumper):  # type: ignore[misc] # the C class has no types
    """YAML writer whose texts no parser reads as another type."""

    def ignore_aliases(self, data: Any) -> bool:
        """Disable aliases: anchors are not part of the data."""
        return True


def _text_node(writer: Any, text: str) -> Any:
    style = None
    if "\n" in text and _BLOCK.fullmatch(text):
        style = "|"
    elif _OTHER_BREAKS.search(text):
        style = '"'
    elif _AMBIGUOUS.fullmatch(text):
        style = "'"
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text_node)


def exclusions(
    documents: Iterable[Document], place: Callable[[Document], str]
) -> Iterator[tuple[Document, Finding]]:
    """Find pairs of documents that cannot be in the same revision.

    Args:
        documents: the documents of one stream, or of one revision.
        place: returns the location of a document for messages, such as ``line 7``.

    Returns:
        Each document that conflicts with an earlier one, with a finding.
    """
    first: dict[Hashable, Document] = {}
    for document in documents:
        for key, fault, message in _unique_keys(document):
            other = first.setdefault(key, document)
            if other is not document:
                names = dict.fromkeys((document.identity, other.identity))
                finding = Finding(
                    fault,
                    message.format(place=place(other)),
                    documents=tuple(names),
                    line=document.line,
                    index=document.index,
                )
                yield document, finding
                break


def _shape_findings(node: Node, faults: Faults) -> Iterable[Finding]:
    identity = _identity_of(node.value)
    lines = DocumentLines(node.text, node.line)
    for path, message in faults.found:
        yield Finding(
            Fault.INVALID_DOCUMENT_FORMAT,
            message,
            documents=(identity,) if identity else (),
            path=field_text(path),
            line=lines.of(path),
            index=node.index,
        )


def _identity_of(value: Any) -> Identity | None:
    """Return the identity of a malformed document, as far as the document has the fields."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    schema = value.get("schema") if isinstance(value, dict) else None
    if not isinstance(name, str) or not isinstance(schema, str):
        return None
    return Identity(schema, "", name)


def _unique_keys(document: Document) -> Iterator[tuple[Hashable, Fault, str]]:
    """Yield the keys that no other document may share, each with fault and message."""
    message = "is there twice, on {place} too: keep one"
    yield document.identity, Fault.DUPLICATE_DOCUMENT, message
    message = (
        "replaces the same document as the one on {place}: keep one"
        if document.replacement
        else "has the schema and name of the document on {place}, and none of the two has"
        " replacement: true"
    )
    unique = (document.schema, document.name, document.replacement)
    yield unique, Fault.INVALID_DOCUMENT_REPLACEMENT, message
    if document.kind == LAYERING_POLICY:
        message = "is a second LayeringPolicy, the first is on {place}: keep one"
        yield LAYERING_POLICY, Fault.LAYERING_POLICY_NOT_UNIQUE, message


def _place(finding: Finding) -> tuple[int, int]:
    return finding.index or 0, finding.line or 0
