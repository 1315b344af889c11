"""Parser of YAML streams to JSON values, in one pass over libyaml's events.

Processing the events here costs no more than PyYAML's own constructor, and every limit acts before
memory is spent: the depth limit stops the scanner, which is quadratic in open brackets; aliases
are counted as if expanded, because every later JSON, digest or copy expands them. Parsing continues
after a fault, to find further faults in the stream, each with document, field and line.
"""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from dataclasses import dataclass, field
from typing import Any, NamedTuple, NoReturn

import yaml

from staging_api.documents.model import DocumentLimits, Fault, Finding, Path
from staging_api.documents.paths import path_text, shortened
from staging_api.documents.scalars import (
    ScalarRefused,
    check_collection_tag,
    key_text,
    plain,
    tagged,
)

# Wheels of PyYAML include libyaml; a build without it falls back to the slow loader, with equal
# results.
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UTF_16 = (BOM_UTF16_LE, BOM_UTF16_BE)
#: Byte order mark at the start of a later document, as in concatenated streams: YAML allows it
#: there, libyaml does not.
_LATER_MARK = re.compile(r"^\ufeff(?=---(?:\s|\Z))|(?<=^---\n|^\.\.\.\n)\ufeff", re.MULTILINE)
_UNDEFINED = object()
_MERGE = object()
_TAG_DIRECTIVES = 1_000
_KEY = "a mapping or list cannot be a key: keys are texts"


@dataclass(frozen=True, slots=True)
class Node:
    """A YAML document in a stream."""

    value: Any
    text: bytes
    #: Index in the stream, from 0.
    index: int
    #: Line number, from 1.
    line: int
    #: Characters in all values, with aliases expanded.
    size: int


@dataclass(slots=True)
class Stream:
    """Result of parsing: the faultless documents, and the faults of the others."""

    nodes: list[Node] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


def read_stream(raw: bytes, limits: DocumentLimits) -> Stream:
    """Parse all YAML documents of a stream; never raises, whatever the bytes are."""
    stream = Stream()
    if len(raw) > limits.stream_bytes:
        stream.findings.append(_too_large(len(raw), limits))
        return stream
    # libyaml compares each of these directives with all earlier ones.
    if raw.count(b"%TAG") > _TAG_DIRECTIVES:
        message = f"the stream has more than {_TAG_DIRECTIVES} %TAG directives"
        stream.findings.append(Finding(Fault.LIMIT_EXCEEDED, message))
        return stream
    encoding = "utf-16" if raw.startswith(_UTF_16) else "utf-8-sig"
    try:
        text = raw.decode(encoding)
        unmarked = _LATER_MARK.sub("", text) if "\ufeff" in text else text
        as_sent = encoding != "utf-16" and unmarked is text
        raw, text = raw.removeprefix(BOM_UTF8) if as_sent else unmarked.encode(), unmarked
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"the stream must be UTF-8, or UTF-16 with its mark: byte {error.start} is not"
        stream.findings.append(Finding(Fault.INVALID_YAML, message, line=line))
        return stream
    _Reader(raw, text, limits, stream).read()
    return stream


def _too_large(count: int, limits: DocumentLimits) -> Finding:
    message = f"the stream has {count} bytes, and may have {limits.stream_bytes}"
    return Finding(Fault.LIMIT_EXCEEDED, message)


class _DocumentPart(NamedTuple):
    """A document that was parsed, and its start in the stream."""

    start: int
    line: int
    value: Any
    size: int
    sound: bool


class _Stop(Exception):
    """The rest of the stream cannot be parsed; a finding says why."""


class _Frame:
    """A mapping or list that is being parsed."""

    __slots__ = ("anchor", "container", "key", "merges", "size", "waiting")

    def __init__(self, container: Any, anchor: str | None, size: int) -> None:
        self.container = container
        self.anchor = anchor
        #: Value of the reader's size counter when this frame began.
        self.size = size
        #: The key of the next value, if `waiting`.
        self.key: Any = None
        self.waiting = False
        #: Values of merge keys, in order of precedence.
        self.merges: list[dict[str, Any]] | None = None


class _Reader:
    def __init__(self, raw: bytes, text: str, limits: DocumentLimits, stream: Stream) -> None:
        self._raw = raw
        self._text = text
        self._limits = limits
        self._stream = stream
        self._parser = _Loader(raw)
        self._frames: list[_Frame] = []
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._plain: dict[str, Any] = {}
        self._size = 0
        self._values = 0
        self._index = -1
        self._root: Any = None
        self._read_so_far: list[_DocumentPart] = []

    def read(self) -> None:
        """Parse to the end of the stream, or to a fault that makes the rest unreadable."""
        try:
            self._documents()
        except _Stop:
            pass
        except yaml.YAMLError as error:
            self._add(_syntax(error, self._index, self._text))
        finally:
            self._parser.dispose()
        self._cut()

    def _documents(self) -> None:
        parser: Any = self._parser
        while parser.check_event():
            event = parser.get_event()
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            self._index += 1
            if self._index >= self._limits.documents:
                limit = self._limits.documents
                self._stop(event, f"a stream may have {limit} documents, not more")
            self._anchors.clear()
            faults, size, start = len(self._stream.findings), self._size, _start_of(event)
            self._content()
            if self._size > self._limits.expanded_size:
                self._stop(event, self._expanded_message())
            sound = len(self._stream.findings) == faults
            self._read_so_far.append(_DocumentPart(*start, self._root, self._size - size, sound))

    def _cut(self) -> None:
        """Assign its part of the text to each faultless document."""
        parts = self._read_so_far
        ends = [*(part.start for part in parts[1:]), len(self._text)][: len(parts)]
        ascii_only = self._text.isascii()
        begin = 0
        for index, (part, end) in enumerate(zip(parts, ends, strict=True)):
            text = self._raw[begin:end] if ascii_only else self._text[begin:end].encode()
            begin = end
            if part.sound:
                node = Node(part.value, text, index, part.line, part.size)
                self._stream.nodes.append(node)

    def _content(self) -> None:
        """Process the events of one document."""
        get_event = self._parser.get_event
        while True:
            event = get_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._scalar(event)
            elif kind is yaml.MappingStartEvent:
                self._open(event, {}, "map")
            elif kind is yaml.SequenceStartEvent:
                self._open(event, [], "seq")
            elif kind is yaml.AliasEvent:
                self._alias(event)
            elif kind is yaml.DocumentEndEvent:
                return
            else:
                self._close(event)

    def _scalar(self, event: Any) -> None:
        self._count(event)
        text = event.value
        frame = self._frames[-1] if self._frames else None
        is_plain = event.implicit[0]
        if text == "<<" and is_plain and event.tag is None and frame and _wants_key(frame):
            self._begin_value(frame, _MERGE, event)
            return
        self._size += len(text) + 1
        value = self._scalar_value(event, text, is_plain=is_plain)
        if event.anchor is not None:
            self._anchors[event.anchor] = (value, len(text) + 1)
        self._add_value(value, event)

    def _scalar_value(self, event: Any, text: str, *, is_plain: bool) -> Any:
        value: Any = text
        if event.tag is not None:
            value = self._read(event, tagged, event.tag, text)
        elif is_plain:
            value = self._plain_value(event, text)
        if not is_plain and "\0" in text:
            self._refuse(event, "holds a NUL character, which the database cannot store")
        return value

    def _plain_value(self, event: Any, text: str) -> Any:
        value = self._plain.get(text, _UNDEFINED)
        if value is _UNDEFINED:
            value = self._read(event, plain, text)
            # A refused scalar (None) is not cached, so that it is reported each time.
            if value is not None:
                self._plain[text] = value
        return value

    def _read(self, event: Any, reader: Any, *arguments: str) -> Any:
        try:
            return reader(*arguments)
        except ScalarRefused as refused:
            self._refuse(event, str(refused))
            return None

    def _open(self, event: Any, container: Any, expected: str) -> None:
        self._count(event)
        if len(self._frames) >= self._limits.depth:
            limit = self._limits.depth
            self._stop(event, f"mappings and lists may lie in each other {limit} deep, not deeper")
        if self._frames and _wants_key(self._frames[-1]):
            self._stop(event, _KEY, Fault.INVALID_YAML)
        self._read(event, check_collection_tag, event.tag, expected)
        self._frames.append(_Frame(container, event.anchor, self._size))
        self._size += 1

    def _close(self, event: Any) -> None:
        frame = self._frames.pop()
        container = frame.container
        if frame.merges:
            merged: dict[str, Any] = {}
            for each in reversed(frame.merges):
                merged.update(each)
            container = {**merged, **container}
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (container, self._size - frame.size)
        self._add_value(container, event)

    def _alias(self, event: Any) -> None:
        self._count(event)
        value, size = self._anchors.get(event.anchor, (_UNDEFINED, 0))
        if value is _UNDEFINED:
            # Not quoted: it may be a password that begins with "*" and lacks its quotes.
            self._refuse(
                event,
                "the alias has no anchor before it, or lies inside it:"
                " write a text that begins with * in quotes",
            )
            value = None
        self._size += size
        if self._size > self._limits.expanded_size:
            self._stop(event, self._expanded_message())
        if isinstance(value, dict | list) and self._frames and _wants_key(self._frames[-1]):
            self._stop(event, _KEY, Fault.INVALID_YAML)
        self._add_value(value, event)

    def _add_value(self, value: Any, event: Any) -> None:
        if not self._frames:
            self._root = value
            return
        frame = self._frames[-1]
        container = frame.container
        if type(container) is list:
            container.append(value)
        elif not frame.waiting:
            self._begin_value(frame, value if type(value) is str else key_text(value), event)
        else:
            frame.waiting = False
            if frame.key is _MERGE:
                self._merge(frame, value, event)
            else:
                container[frame.key] = value

    def _count(self, event: Any) -> None:
        self._values += 1
        if self._values > self._limits.values:
            limit = self._limits.values
            self._stop(event, f"a stream may have {limit} keys and values, not more")

    def _begin_value(self, frame: _Frame, key: Any, event: Any) -> None:
        frame.key = key
        frame.waiting = True
        if key is _MERGE:
            if frame.merges is not None:
                self._refuse(event, "the key << is there twice: merge a list, << : [*a, *b]")
            frame.merges = frame.merges or []
        elif key in frame.container:
            self._refuse(event, "the key is there twice in its mapping: keep one")

    def _merge(self, frame: _Frame, value: Any, event: Any) -> None:
        merged = value if isinstance(value, list) else [value]
        if not all(isinstance(each, dict) for each in merged):
            self._refuse(event, "<< must have a mapping or a list of mappings")
            return
        frame.merges = [*(frame.merges or []), *merged]

    def _here(self) -> Path:
        return tuple(
            len(frame.container) if type(frame.container) is list else frame.key
            for frame in self._frames
            if type(frame.container) is list or (frame.waiting and frame.key is not _MERGE)
        )

    def _refuse(self, event: Any, message: str, fault: Fault = Fault.INVALID_YAML) -> None:
        line = event.start_mark.line + 1
        path = shortened(path_text(self._here()))
        self._add(Finding(fault, message, path=path, line=line, index=self._index))

    def _stop(self, event: Any, message: str, fault: Fault = Fault.LIMIT_EXCEEDED) -> NoReturn:
        self._refuse(event, message, fault)
        raise _Stop

    def _add(self, finding: Finding) -> None:
        self._stream.findings.append(finding)
        if len(self._stream.findings) >= self._limits.findings:
            raise _Stop

    def _expanded_message(self) -> str:
        limit = self._limits.expanded_size
        return f"the values, with aliases written out, have more than {limit} characters"


def _wants_key(frame: _Frame) -> bool:
    return not frame.waiting and type(frame.container) is dict


def _start_of(event: Any) -> tuple[int, int]:
    """Return the character index of an event and its line, from 1."""
    return event.start_mark.index, event.start_mark.line + 1


def _syntax(error: yaml.YAMLError, index: int, text: str) -> Finding:
    """Convert an error of libyaml to a finding."""
    line = None
    if isinstance(error, yaml.MarkedYAMLError):
        problem = ", ".join(filter(None, (error.context, error.problem)))
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
    elif isinstance(error, yaml.reader.ReaderError):
        problem = str(error.reason)
        line = text.count("\n", 0, error.position) + 1
    else:
        problem = "the stream is not YAML"
    return Finding(Fault.INVALID_YAML, f"not YAML: {problem}", line=line, index=max(index, 0))
