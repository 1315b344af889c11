"""Paths inside data: ``.a.b[1]['x.y']``, read, written, looked up and set.

A path is a leading ``.`` or ``$``, words between dots, ``[N]`` for the N-th element of a list
(from 0), and quotes around keys that hold dots or brackets. ``.`` and ``$`` alone are the whole.
Wildcards, filters and ``..`` are refused: a path names one place.

Nothing here changes a value: `put` and `remove` copy the containers on the way and share the rest.
"""

import re
from collections.abc import Callable
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


class _Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


#: What `get` gives for a place that is not there; null is a value.
MISSING: Final = _Missing()


class PathInvalid(ValueError):
    """A text that is not a path; the message says why."""


class PlaceUnusable(ValueError):
    """A place that cannot be set or removed; the message says why, without quoting values."""


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


def path_text(path: Path) -> str:
    """Write a path so that `parse_path` reads it back."""
    if not path:
        return "."
    text = "".join(_written(step) for step in path)
    return text if text.startswith(".") else f".{text}"


def _written(step: str | int) -> str:
    if isinstance(step, int):
        return f"[{step}]"
    if _PLAIN_WORD.fullmatch(step):
        return f".{step}"
    escaped = step.replace("\\", "\\\\").replace("'", "\\'")
    return f"['{escaped}']"


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


def put(value: Any, path: Path, new: Any) -> Any:
    """Give a copy of `value` with `new` at a place.

    Missing mappings and lists on the way are made; a list is filled with ``{}`` up to its index.

    Raises:
        PlaceUnusable: if something on the way is neither missing nor the right container.
    """
    return change(value, path, lambda _: new)


def change(value: Any, path: Path, changed: Callable[[Any], Any]) -> Any:
    """Give a copy of `value` with ``changed(old)`` at a place; `old` may be `MISSING`.

    Raises:
        PlaceUnusable: as for `put`.
    """
    return _changed(value, path, 0, changed)


def _changed(value: Any, path: Path, at: int, changed: Callable[[Any], Any]) -> Any:
    if at == len(path):
        return changed(value)
    step = path[at]
    if isinstance(step, str):
        mapping: dict[str, Any] = {} if value is MISSING else value
        if not isinstance(mapping, dict):
            raise PlaceUnusable(_not_below(value, path, at, "a mapping"))
        mapping = mapping.copy()
        mapping[step] = _changed(mapping.get(step, MISSING), path, at + 1, changed)
        return mapping
    elements: list[Any] = [] if value is MISSING else value
    if not isinstance(elements, list):
        raise PlaceUnusable(_not_below(value, path, at, "a list"))
    elements = elements.copy()
    missing = step >= len(elements)
    elements.extend({} for _ in range(step + 1 - len(elements)))
    old = MISSING if missing else elements[step]
    elements[step] = _changed(old, path, at + 1, changed)
    return elements


def remove(value: Any, path: Path) -> Any:
    """Give a copy of `value` without a place; removing the whole gives ``{}``.

    Raises:
        PlaceUnusable: if the place is not there.
    """
    if not path:
        return {}
    if get(value, path) is MISSING:
        raise PlaceUnusable(f"nothing is at {path_text(path)}")

    def without(container: Any) -> Any:
        rest = container.copy()
        del rest[path[-1]]
        return rest

    return change(value, path[:-1], without)


def kind_of(value: Any) -> str:
    """What a value is, in words for messages that must not quote it."""
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, bool):
        return "a boolean"
    return "a text" if isinstance(value, str) else "a number"


def _not_below(value: Any, path: Path, at: int, needed: str) -> str:
    return f"{path_text(path[:at])} is {kind_of(value)}, and must be {needed} to hold the rest"
