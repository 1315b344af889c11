"""Copy on write of values that are shared: only containers on the way to a change are copied."""

from typing import Any

from staging_api.documents.model import Path
from staging_api.documents.paths import MISSING, kind_of, path_text


class PlaceUnusable(ValueError):
    """A path that cannot be set or removed; the message gives the reason and quotes no values."""


class CopyOnWrite:
    """Copy on write of a value made of mappings, lists and scalars."""

    def __init__(self, value: Any) -> None:
        """Start with `value`, which is never changed."""
        self.value = value
        #: The containers copied or created here, by id; kept alive so that no id is reused.
        self._own: dict[int, Any] = {}

    def put(self, path: Path, new: Any) -> None:
        """Set the value at a path.

        Missing mappings and lists on the way are created; a list is filled with ``{}`` up to the
        index.

        Raises:
            PlaceUnusable: a value on the way exists, but is not the right kind of container.
        """
        if not path:
            self.value = new
            return
        node = self.value = self._opened(self.value, path, 0)
        for at, step in enumerate(path[:-1], start=1):
            old = _taken(node, step)
            node[step] = self._opened(old, path, at)
            node = node[step]
        _taken(node, path[-1])
        node[path[-1]] = new

    def remove(self, path: Path) -> None:
        """Remove the value at a path; removing the root leaves ``{}``.

        Raises:
            PlaceUnusable: the path does not exist.
        """
        if not path:
            self.value = {}
            return
        node = self.value
        for step in path:
            if not _has(node, step):
                raise PlaceUnusable(f"nothing is at {path_text(path)}")
            node = node[step]
        node = self.value = self._opened(self.value, path, 0)
        for at, step in enumerate(path[:-1], start=1):
            node[step] = self._opened(node[step], path, at)
            node = node[step]
        del node[path[-1]]

    def _opened(self, value: Any, path: Path, at: int) -> Any:
        """Return a container of this copy that can hold the step at index `at` of the path."""
        kind: type = dict if isinstance(path[at], str) else list
        if value is MISSING:
            value = kind()
            self._own[id(value)] = value
        elif not isinstance(value, kind):
            needed = kind_of(kind())
            message = f"{path_text(path[:at])} is {kind_of(value)}, and must be {needed}"
            raise PlaceUnusable(f"{message} to hold {path_text(path)}")
        if id(value) in self._own:
            return value
        copied = value.copy()
        self._own[id(copied)] = copied
        return copied


def _has(container: Any, step: str | int) -> bool:
    if isinstance(step, str):
        return isinstance(container, dict) and step in container
    return isinstance(container, list) and step < len(container)


def _taken(container: Any, step: str | int) -> Any:
    """Return the value of a container at a step, after extending a list that is too short."""
    if isinstance(step, str):
        return container.get(step, MISSING)
    if step < len(container):
        return container[step]
    container.extend({} for _ in range(step + 1 - len(container)))
    return MISSING
