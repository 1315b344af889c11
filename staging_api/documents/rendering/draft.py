"""The document that is being rendered: its data and its trace, changed together."""

from typing import Any

from staging_api.documents.editing import CopyOnWrite
from staging_api.documents.model import Path
from staging_api.documents.paths import get
from staging_api.documents.rendering.tracing import Trace


class Draft:
    """Data and trace of one document; what they are made of is shared, and never changed."""

    def __init__(self, data: Any, trace: Trace) -> None:
        """Begin with another document's data, or with the document's own."""
        self._data = CopyOnWrite(data)
        self.trace = trace
        self._own: dict[int, Trace] = {}

    @property
    def data(self) -> Any:
        """The data as it is now."""
        return self._data.value

    def get(self, path: Path) -> Any:
        """Look a place up; `MISSING` if it is not there."""
        return get(self._data.value, path)

    def put(self, path: Path, data: Any, trace: Trace) -> None:
        """Set a place.

        Raises:
            PlaceUnusable: as `CopyOnWrite.put`.
        """
        self._data.put(path, data)
        if not path:
            self.trace = trace
        else:
            self._holder(path).children[path[-1]] = trace

    def merge(self, path: Path, data: Any, trace: Trace) -> None:
        """Merge a value into a place: mappings deeply, anything else takes the place.

        Raises:
            PlaceUnusable: as `CopyOnWrite.put`.
        """
        old = self.get(path)
        if isinstance(old, dict) and isinstance(data, dict):
            self.put(path, *_merged(old, self.trace.get(path), data, trace))
        else:
            self.put(path, data, trace)

    def remove(self, path: Path, trace: Trace) -> None:
        """Remove a place; the whole leaves ``{}``, which came from `trace`.

        Raises:
            PlaceUnusable: if the place is not there.
        """
        self._data.remove(path)
        if not path:
            self.trace = trace
            return
        holder, last = self._holder(path), path[-1]
        if isinstance(last, int):
            # The elements behind it moved up, and keep where they came from.
            length = len(self.get(path[:-1]))
            for place in range(last, length):
                holder.children[place] = holder.child(place + 1)
            holder.children.pop(length, None)
        else:
            holder.children.pop(last, None)

    def _holder(self, path: Path) -> Trace:
        """Give the trace of the container of a place, as one that may be changed."""
        node = self.trace = self._owned(self.trace)
        for step in path[:-1]:
            node.children[step] = self._owned(node.child(step))
            node = node.children[step]
        return node

    def _owned(self, trace: Trace) -> Trace:
        if id(trace) in self._own:
            return trace
        copied = trace.copy()
        # Kept, so that no later trace gets its id.
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
