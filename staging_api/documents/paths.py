"""Paths inside data: ``.a.b[1]['x.y']``, read, written and looked up.

A path is a leading ``.`` or ``$``, words between dots, ``[N]`` for the N-th element of a list
(from 0), and quotes around keys that hold dots or brackets. ``.`` and ``$`` alone are the whole.
Wildcards, filters and ``..`` are refused: a path names one place.

`editing` sets and removes what a path names.
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
#: Characters of posted names and paths that messages show.
_SHOWN = 200
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_KINDS = {dict: "a mapping", list: "a list", bool: "a boolean", str: "a text", type(None): "null"}


class _Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


#: What `get` gives for a place that is not there; null is a value.
MISSING: Final = _Missing()


class PathInvalid(ValueError):
    """A text that is not a path; the message says why."""


@lru_cache(maxsize=4096)
def parse_path(text: str) -> Path:
    """Read a path.

    Raises:
        PathInvalid: with the text and the reason.
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
            raise PathInvalid(_why_not(text, rest[place:]))
        steps.append(_step(match))
        place = match.end()
    return tuple(steps)


def path_text(path: Path) -> str:
    """Write a path so that `parse_path` reads it back."""
    if not path:
        return "."
    text = "".join(_written(step) for step in path)
    return text if text.startswith(".") else f".{text}"


def shortened(text: str) -> str:
    """Cut a posted name or path to what a message can show."""
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def get(value: Any, path: Path) -> Any:
    """Look a place up; `MISSING` if it is not there."""
    for step in path:
        if isinstance(step, str):
            if not isinstance(value, dict) or step not in value:
                return MISSING
        elif not isinstance(value, list) or step >= len(value):
            return MISSING
        value = value[step]
    return value


def kind_of(value: Any) -> str:
    """What a JSON value is, in words for messages that must not quote it."""
    return _KINDS.get(type(value), "a number")


def _step(match: re.Match[str]) -> str | int:
    if match["index"] is not None:
        return int(match["index"])
    if match["word"] is not None:
        return match["word"]
    quoted = match["bracket"] or match["quoted"]
    return _ESCAPED.sub(r"\1", quoted[1:-1])


def _why_not(text: str, rest: str) -> str:
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
