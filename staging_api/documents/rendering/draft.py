"""A document while it is rendered: data and trace, which are changed together."""

from typing import Any

from staging_api.documents.editing import CopyOnWrite
from staging_api.documents.model import Path
from staging_api.documents.paths import get
from staging_api.documents.rendering.tracing import Trace


class Draft:
    """Data and trace of one document; both are copied on write, as they are shared with others."""

    def __init__(self, data: Any, trace: Trace) -> None:
        """Start with the parent's data, or with the document's own."""
        self._data = CopyOnWrite(data)
        self.trace = trace
        self._own: dict[int, Trace] = {}

    @property
    def data(self) -> Any:
        """The current data."""
        return self._data.value

    def get(self, path: Path) -> Any:
        """Return the value at a path; `MISSING` if the path does not exist."""
        return get(self._data.value, path)

    def put(self, path: Path, data: Any, trace: Trace) -> None:
        """Set the value at a path.

        Raises:
            PlaceUnusable: as `CopyOnWrite.put`.
        """
        self._data.put(path, data)
        if not path:
            self.trace = trace
        else:
            self._holder(path).children[path[-1]] = trace

    def merge(self, path: Path, data: Any, trace: Trace) -> None:
        """Merge a value into the value at a path: mappings deeply, other values are replaced.

        Raises:
            PlaceUnusable: as `CopyOnWrite.put`.
        """
        old = self.get(path)
        if isinstance(old, dict) and isinstance(data, dict):
            self.put(path, *_merged(old, self.trace.get(path), data, trace))
        else:
            self.put(path, data, trace)

    def remove(self, path: Path, trace: Trace) -> None:
        """Remove the value at a path; removing the root leaves ``{}``, whose origin is `trace`.

        Raises:
            PlaceUnusable: the path does not exist.
        """
        self._data.remove(path)
        if not path:
            self.trace = trace
            return
        holder, last = self._holder(path), path[-1]
        if isinstance(last, int):
            # The elements after the removed one moved up; their traces move with them.
            length = len(self.get(path[:-1]))
            for place in range(last, length):
                holder.children[place] = holder.child(place + 1)
            holder.children.pop(length, None)
        else:
            holder.children.pop(last, None)

    def _holder(self, path: Path) -> Trace:
        """Return the trace of the container of a path, as a copy that may be changed."""
        node = self.trace = self._owned(self.trace)
        for step in path[:-1]:
            node.children[step] = self._owned(node.child(step))
            node = node.children[step]
        return node

    def _owned(self, trace: Trace) -> Trace:
        if id(trace) in self._own:
            return trace
        copied = trace.copy()
        # Kept alive so that no later trace gets the same id.
        self._own[id(copied)] = copied
        return copied


def _merged(
    base: dict[str, Any], base_trace: Trace, own: dict[str, Any], own_trace: Trace
) -> tuple[dict[str, Any], Trace]:
    data, merged = base.copy(), base_trace.copy()
    for key, value in own.items():
        old, trace = base.get(key), own_trace.child(key)
        if isinstance(old, dict) and isinstance(value, dict):
            data[key], merged.children[key] = _merged(old, base_trace.child(key), value, trace)
        else:
            data[key], merged.children[key] = value, trace
    return data, merged
