"""Circuit breakers, one for each host: stop calling a host that keeps failing.

After `limit` failures in a row, each after all attempts of one request, the circuit opens: requests
for the host are refused immediately, with the remaining time as Retry-After. After that time one
trial request is allowed; its success closes the circuit, its failure opens it again. If the trial
ends for another reason, such as a full store or a cancel, the next request becomes the trial.

These 60 lines replace a library: the libraries we looked at count every exception as a failure,
allow several requests when half open, and do not report when to retry.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from staging_api.errors import ArchiveUnsafe, LimitExceeded, NotFound, SourceChanged, SourceFailed


@dataclass(eq=False)
class Breakers:
    """The circuits of all hosts; one object for all sources of a process."""

    limit: int = 5
    open_seconds: float = 30.0
    clock: Callable[[], float] = time.monotonic
    _failures: dict[str, int] = field(default_factory=dict)
    _until: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def calling(self, host: str) -> Iterator[None]:
        """Call a host in the block, and count the result.

        Raises:
            SourceFailed: the circuit is open; has the remaining time.
        """
        is_trial = self._check(host)
        try:
            yield
        except SourceFailed as error:
            # A permanent error, or a changed object, is still a response, so the host works.
            if error.retryable and not isinstance(error, SourceChanged):
                self._failed(host)
            elif is_trial:
                self._try_another(host)
            raise
        except (NotFound, ArchiveUnsafe, LimitExceeded):
            self._answered(host)
            raise
        except BaseException:
            if is_trial:
                self._try_another(host)
            raise
        self._answered(host)

    def _check(self, host: str) -> bool:
        """Return whether this request is the trial of an open circuit."""
        with self._lock:
            now, until = self.clock(), self._until.get(host)
            if until is None:
                return False
            if now < until:
                raise SourceFailed(
                    f"{host} failed {self._failures[host]} times in a row: not called for now",
                    retry_after_seconds=until - now,
                )
            # This request is the trial; others are refused until it has ended.
            self._until[host] = now + self.open_seconds
            return True

    def _answered(self, host: str) -> None:
        with self._lock:
            # Only failures in a row count: one response resets them.
            self._failures.pop(host, None)
            self._until.pop(host, None)

    def _try_another(self, host: str) -> None:
        with self._lock:
            # The response to an earlier request may have closed the circuit meanwhile.
            if host in self._until:
                self._until[host] = self.clock()

    def _failed(self, host: str) -> None:
        with self._lock:
            self._failures[host] = self._failures.get(host, 0) + 1
            if self._failures[host] >= self.limit:
                self._until[host] = self.clock() + self.open_seconds
