"""A cache of the newest values, within limits of entries and of bytes."""

import sys
import threading
from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class BoundedCache(Generic[Key, Value]):
    """Keeps what was used last; for all threads of a process, and of one process only."""

    def __init__(self, most_entries: int = sys.maxsize, most_bytes: int = sys.maxsize) -> None:
        """Keep so many entries, whose sizes are so many bytes together, at the most."""
        self._most_entries, self._most_bytes = most_entries, most_bytes
        self._entries: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._bytes = 0
        self._mutex = threading.Lock()

    def __len__(self) -> int:
        """How many entries there are."""
        return len(self._entries)

    @property
    def size_bytes(self) -> int:
        """The sizes of all entries together."""
        return self._bytes

    def get(self, key: Key) -> Value | None:
        """Return what is kept under a key."""
        with self._mutex:
            found = self._entries.get(key)
            if found is None:
                return None
            self._entries.move_to_end(key)
            return found[0]

    def put(self, key: Key, value: Value, size_bytes: int = 0) -> None:
        """Keep a value in the place of what was kept; one that is larger than all is not kept."""
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
