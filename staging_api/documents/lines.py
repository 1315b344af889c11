"""The line of a field in the posted text, looked up only when a message needs it."""

from functools import cached_property
from typing import Any

import yaml

from staging_api.documents.model import Document, Path
from staging_api.documents.paths import PathInvalid, parse_path

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Bytes of a document in which a line is looked for: beyond it, its first line must do.
_LONGEST = 2 << 20


def line_of(document: Document, path: str) -> int:
    """Find the line, from 1, of a field such as ``.data.hosts[0]``, or of what should hold it."""
    try:
        return DocumentLines(document.text, document.line).of(parse_path(path or "."))
    except PathInvalid:
        return document.line


class DocumentLines:
    """The lines of one YAML document that was read without faults; composed at most once."""

    def __init__(self, text: bytes, first_line: int) -> None:
        """Look into `text`, which begins on line `first_line` of its stream."""
        self._text = text if len(text) <= _LONGEST else b""
        self._first_line = first_line
        #: Line and value of each key, by the id of its mapping; the root keeps all of them.
        self._keys: dict[int, dict[Any, tuple[int, Any]]] = {}

    def of(self, path: Path) -> int:
        """Find the line of a place in the document.

        If it is not there: the line of the nearest container that is.
        """
        if self._root is None:
            return self._first_line
        node = self._root
        line = node.start_mark.line
        for step in path:
            found = self._below(node, step)
            if found is None:
                break
            line, node = found
        return self._first_line + int(line) - self._start

    @cached_property
    def _root(self) -> Any:
        # Not `compose`: what follows the document in its part of the stream may not be YAML.
        loader = _Loader(self._text)
        return loader.get_node() if loader.check_node() else None

    @cached_property
    def _start(self) -> int:
        """The line, from 0, of the text's document marker: comments may stand before it."""
        events = yaml.parse(self._text, Loader=_Loader)
        starts = (each for each in events if isinstance(each, yaml.DocumentStartEvent))
        mark: Any = next(starts).start_mark
        return int(mark.line)

    def _below(self, node: Any, step: str | int) -> tuple[int, Any] | None:
        """Give the line and the node of a step below."""
        if isinstance(node, yaml.MappingNode):
            if id(node) not in self._keys:
                self._keys[id(node)] = {
                    key.value: (key.start_mark.line, value) for key, value in node.value
                }
            return self._keys[id(node)].get(step)
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            element = node.value[step]
            return element.start_mark.line, element
        return None
