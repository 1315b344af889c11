"""Line numbers of fields in the posted text, looked up only when a message needs one."""

from functools import cached_property
from typing import Any

import yaml

from staging_api.documents.model import Document, Path
from staging_api.documents.paths import PathInvalid, parse_path

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
#: Maximum size in bytes of a document to search; in a larger one, every field gets the first line.
_LONGEST = 2 << 20


def line_of(document: Document, path: str) -> int:
    """Return the line (from 1) of a field such as ``.data.hosts[0]`` or its nearest container."""
    try:
        return DocumentLines(document.text, document.line).of(parse_path(path or "."))
    except PathInvalid:
        return document.line


class DocumentLines:
    """Line numbers of one faultless YAML document; its text is parsed at most once."""

    def __init__(self, text: bytes, first_line: int) -> None:
        """Search `text`, which begins on line `first_line` of its stream."""
        self._text = text if len(text) <= _LONGEST else b""
        self._first_line = first_line
        #: Line and value of each key, by the id of its mapping; the root node keeps all nodes
        #: alive.
        self._keys: dict[int, dict[Any, tuple[int, Any]]] = {}

    def of(self, path: Path) -> int:
        """Return the line of a path in the document.

        If the path does not exist: the line of its nearest existing container.
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
        # Not `compose`: the text after the document in its part of the stream may not be YAML.
        loader = _Loader(self._text)
        return loader.get_node() if loader.check_node() else None

    @cached_property
    def _start(self) -> int:
        """The line, from 0, of the document marker in the text: comments may precede it."""
        events = yaml.parse(self._text, Loader=_Loader)
        starts = (each for each in events if isinstance(each, yaml.DocumentStartEvent))
        mark: Any = next(starts).start_mark
        return int(mark.line)

    def _below(self, node: Any, step: str | int) -> tuple[int, Any] | None:
        """Return the line and the node of a key or index, or None if it does not exist."""
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
