"""Parts of pages, kept for a second: any number of open tabs cost one look at the database each."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

#: Pages look every two seconds at most (`LOOK_MS` of app.js): no tab sees that it looked at older.
_KEPT_SECONDS = 1.0
#: Whoever may see a page can make up addresses of it: they must not fill the memory.
_MOST = 500


@dataclass(frozen=True)
class Fragment:
    """The live parts of a page, rendered."""

    html: str
    etag: str


class Fragments:
    """The fragments of this process, by what they depend on: address, and roles of the caller."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Count by this clock, in seconds."""
        self._now = now
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Fragment]) -> Fragment:
        """Return the fragment; callers that come while it is made wait for that one.

        Raises:
            StagingApiError: of `make`; the next caller tries again.
        """
        with self._mutex:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        # A lock for each address: a slow page holds up no other.
        with kept.mutex:
            if kept.fragment is None or self._now() - kept.made_at > _KEPT_SECONDS:
                kept.fragment = make()
                # After it was made: a page that takes longer than a second would be stale at
                # once.
                kept.made_at = self._now()
            return kept.fragment


@dataclass(eq=False)
class _Kept:
    mutex: threading.Lock = field(default_factory=threading.Lock)
    fragment: Fragment | None = None
    made_at: float = float("-inf")
