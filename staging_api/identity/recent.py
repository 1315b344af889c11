"""Cache with a size limit and a lifetime of its values."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class RecentValues(Generic[T]):
    """Values by key, bounded in number and age; thread-safe."""

    def __init__(
        self, seconds: float, most: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Keep at most `most` values, each for `seconds`."""
        self._seconds = seconds
        self._most = most
        self._now = now
        self._found: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._mutex = threading.Lock()

    def put(self, key: str, value: T) -> None:
        """Store a value; evict the oldest if there are too many."""
        with self._mutex:
            self._found[key] = (self._now(), value)
            self._found.move_to_end(key)
            while len(self._found) > self._most:
                self._found.popitem(last=False)

    def get(self, key: str, within: float | None = None) -> T | None:
        """Return the value unless it is older than `within` seconds, or than its lifetime."""
        with self._mutex:
            at, value = self._found.get(key, (float("-inf"), None))
        limit = self._seconds if within is None else within
        return value if self._now() - at <= limit else None

    def remove(self, key: str) -> None:
        """Remove one value."""
        with self._mutex:
            self._found.pop(key, None)
