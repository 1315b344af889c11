"""Cache of page fragments for one second, so that many open tabs cost one database query each."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

#: Pages refresh every two seconds at most (`LOOK_MS` of app.js), so no tab notices the cache.
_KEPT_SECONDS = 1.0
#: Callers can make up addresses of a page: the cache of these must not fill the memory.
_MOST = 500


@dataclass(frozen=True)
class Fragment:
    """The rendered live parts of a page."""

    html: str
    etag: str


class Fragments:
    """The fragments of this process, by address and roles of the caller."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Use this clock, in seconds."""
        self._now = now
        self._kept: OrderedDict[Hashable, _Kept] = OrderedDict()
        self._mutex = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Fragment]) -> Fragment:
        """Return the fragment; concurrent callers wait for the one that is being made.

        Raises:
            StagingApiError: of `make`; the next caller tries again.
        """
        with self._mutex:
            kept = self._kept.setdefault(key, _Kept())
            self._kept.move_to_end(key)
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        # One lock for each address: a slow page does not delay others.
        with kept.mutex:
            if kept.fragment is None or self._now() - kept.made_at > _KEPT_SECONDS:
                kept.fragment = make()
                # Set after it was made: a page that takes longer than a second would be stale at
                # once.
                kept.made_at = self._now()
            return kept.fragment


@dataclass(eq=False)
class _Kept:
    mutex: threading.Lock = field(default_factory=threading.Lock)
    fragment: Fragment | None = None
    made_at: float = float("-inf")
