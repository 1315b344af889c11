"""Leave a host alone that keeps failing: one that is down is not helped by every worker asking.

A host that failed `limit` times in a row, each time after all attempts of one request, rests: who
asks for it meanwhile is refused at once and told when to come back. After the rest one request
goes through; its success ends the matter, its failure begins another rest.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from staging_api.errors import (
    ArchiveUnsafe,
    LimitExceeded,
    NotFound,
    SourceChanged,
    SourceFailed,
)


class Breakers:
    """What is known of the hosts that fail; one for all sources of a process."""

    def __init__(
        self,
        limit: int = 5,
        rest_seconds: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limit = limit
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._failures: dict[str, int] = {}
        self._until: dict[str, float] = {}
        self._lock = threading.Lock()

    @contextmanager
    def asking(self, host: str) -> Iterator[None]:
        """Do one thing with a host, and note how it ended.

        Raises:
            SourceFailed: the host rests; says for how long.
        """
        self._check(host)
        try:
            yield
        except SourceFailed as error:
            # What will fail again, or changed, is an answer: the host itself is well.
            if error.retryable and not isinstance(error, SourceChanged):
                self._failed(host)
            raise
        except (NotFound, ArchiveUnsafe, LimitExceeded):
            self._answered(host)
            raise
        self._answered(host)

    def _check(self, host: str) -> None:
        with self._lock:
            now, until = self._clock(), self._until.get(host)
            if until is None:
                return
            if now < until:
                raise SourceFailed(
                    f"{host} failed {self._failures[host]} times in a row and is left alone",
                    retry_after_seconds=until - now,
                )
            # This one goes through; whoever comes before it is back is still refused.
            self._until[host] = now + self._rest_seconds

    def _answered(self, host: str) -> None:
        with self._lock:
            self._failures.pop(host, None)
            self._until.pop(host, None)

    def _failed(self, host: str) -> None:
        with self._lock:
            self._failures[host] = self._failures.get(host, 0) + 1
            if self._failures[host] >= self._limit:
                self._until[host] = self._clock() + self._rest_seconds
