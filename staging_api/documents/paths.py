"""Paths inside data, such as ``.a.b[1]['x.y']``: parse, write and look up.

A path is a leading ``.`` or ``$``, words between dots, ``[N]`` for the N-th element of a list
(from 0), and quotes around keys that contain dots or brackets. ``.`` or ``$`` alone is the whole
value. Wildcards, filters and ``..`` are refused: a path names exactly one place.

`editing` sets and removes the value at a path.
"""

import re
from functools import lru_cache
from typing import Any, Final

from staging_api.documents.model import Path

_STEP = re.compile(
    r"""\.?\[(?P<index>[0-9]{1,9})\]
      | \.?\[(?P<bracket>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")\]
      | \.(?P<quoted>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
      | \.(?P<word>[^.\[\]'"*]+)""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN_WORD = re.compile(r"""[^.\[\]'"*$\s\\]+""")
#: Maximum number of characters of a posted name or path in a message.
_SHOWN = 200
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_KINDS = {dict: "a mapping", list: "a list", bool: "a boolean", str: "a text", type(None): "null"}


class _Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


#: Result of `get` for a path that does not exist; null is a value.
MISSING: Final = _Missing()


class PathInvalid(ValueError):
    """The text is not a path; the message gives the reason."""


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """Parse a path.

    Raises:
        PathInvalid: the text is not a path; the message has the text and the reason.
    """
    rest = text.removeprefix("$")
    if rest in ("", ".") and text:
        return ()
    if not rest.startswith((".", "[")):
        rest = f".{rest}"
    steps: list[str | int] = []
    place = 0
    while place < len(rest):
        match = _STEP.match(rest, place)
        if match is None:
            raise PathInvalid(_error_text(text, rest[place:]))
        steps.append(_step(match))
        place = match.end()
    return tuple(steps)


def path_text(path: Path) -> str:
    """Format a path as text that `parse_path` reads back."""
    if not path:
        return "."
    text = "".join(_written(step) for step in path)
    return text if text.startswith(".") else f".{text}"


def shortened(text: str) -> str:
    """Truncate a posted name or path to the length that a message can show."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def get(value: Any, path: Path) -> Any:
    """Return the value at a path, or `MISSING` if the path does not exist."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
        elif not isinstance(value, list) or step >= len(value):
            return MISSING
        value = value[step]
    return value


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value, in words for messages that must not quote the value."""
    return _KINDS.get(type(value), "a number")


def _step(match: re.Match[str]) -> str | int:
    if match["index"] is not None:
        return int(match["index"])
    if match["word"] is not None:
        return match["word"]
    quoted = match["bracket"] or match["quoted"]
    return _ESCAPED.sub(r"\1", quoted[1:-1])


def _error_text(text: str, rest: str) -> str:
    if "*" in rest or ".." in rest or "[?" in rest:
        return f"{text!r} must name one place: wildcards, filters and '..' are not taken"
    return f"{text!r} is not a path such as .hosts[0].name or .labels['a.b']"


def _written(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN_WORD.fullmatch(step):
        return f".{step}"
    escaped = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"
