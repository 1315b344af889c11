"""What was found out a moment ago, by key, at most so many and for so long."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """A bounded memory; used by many threads."""

    def __init__(
        self, seconds: float, most: int, now: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember at most `most` values, each for `seconds`."""
        self._seconds = seconds
        self._most = most
        self._now = now
        self._found: OrderedDict[str, tuple[float, T]] = OrderedDict()
        self._mutex = threading.Lock()

    def put(self, key: str, value: T) -> None:
        """Remember; the oldest is forgotten for it, if there are too many."""
        with self._mutex:
            self._found[key] = (self._now(), value)
            self._found.move_to_end(key)
            while len(self._found) > self._most:
                self._found.popitem(last=False)

    def get(self, key: str, within: float | None = None) -> T | None:
        """What was put there, unless it is too old (`within`: older than so many seconds)."""
        with self._mutex:
            at, value = self._found.get(key, (float("-inf"), None))
        limit = self._seconds if within is None else within
        return value if self._now() - at <= limit else None

    def forget(self, key: str) -> None:
        """Forget one."""
        with self._mutex:
            self._found.pop(key, None)
