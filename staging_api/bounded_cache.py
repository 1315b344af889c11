"""Cache of the most recently used values, with limits for entries and bytes."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Least-recently-used cache, for all threads of one process."""

    def __init__(self, most_entries: int = sys.maxsize, most_bytes: int = sys.maxsize) -> None:
        """Limit the number of entries, and the total of their sizes in bytes."""
        self._most_entries, self._most_bytes = most_entries, most_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._bytes = 0
        self._mutex = threading.Lock()

    def __len__(self) -> int:
        """Return the number of entries."""
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """Total size of all entries."""
        return self._bytes

    def get(self, key: Key) -> Value | None:
        """Return the value of a key."""
        with self._mutex:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: Key, value: Value, size_bytes: int = 0) -> None:
        """Store a value; one that is larger than the limit of the whole cache is not stored."""
        with self._mutex:
            self._drop(key)
            if size_bytes > self._most_bytes:
                return
            self._entries[key] = value, size_bytes
            self._bytes += size_bytes
            while len(self._entries) > self._most_entries or self._bytes > self._most_bytes:
                self._drop(next(iter(self._entries)))

    def _drop(self, key: Key) -> None:
        _value, size_bytes = self._entries.pop(key, (None, 0))
        self._bytes -= size_bytes
