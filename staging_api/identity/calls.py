"""Calls to an identity provider, shared by requests with the same key, with limits.

A provider that hangs must not stop the service. So a call runs in another thread with a deadline
(`call_deadline`); all requests with the same key wait for the same call; the number of waiting
requests is limited, and further ones get 503 at once. After a call without any response the
provider is not called for one second.

What if the process dies? Calls leave no state behind. A timer ends a call that exceeds its
deadline.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

from staging_api import metrics
from staging_api.errors import StagingApiError, TooManyRequests
from staging_api.identity.outage import SILENT, IdentityOutage, OutageCause, cannot_check

T = TypeVar("T")

_PAUSE_SECONDS = 1.0
_THREADS = 8


def always() -> bool:
    """Allow every call to the provider."""
    return True


_calls_allowed: ContextVar[Callable[[], bool]] = ContextVar("provider_calls", default=always)


@contextmanager
def provider_calls(allowed: Callable[[], bool]) -> Iterator[None]:
    """Allow new calls to the provider in this block only if `allowed` returns True.

    Cached answers are always used. `allowed` is called only before a new call: most requests make
    none.
    """
    token = _calls_allowed.set(allowed)
    try:
        yield
    finally:
        _calls_allowed.reset(token)


@dataclass
class SharedCalls:
    """The running calls of one process, by key.

    Attributes:
        seconds: limit of one call, including its wait for a thread.
        waiters: limit of waiting requests.
    """

    seconds: float = 5.0
    waiters: int = 16
    _running: dict[str, "_Call"] = field(default_factory=dict)
    _waiting: int = 0
    _silent_until: float = float("-inf")
    _mutex: threading.Lock = field(default_factory=threading.Lock)
    _threads: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(_THREADS, "identity")
    )

    def wait_for(self, key: str, call: Callable[[], T]) -> T:
        """Wait for the running call with this key, or start one.

        Raises:
            IdentityUnavailable: no answer arrived in time, or too many requests wait already.
            TooManyRequests: `provider_calls` forbids the call.
        """
        with self._mutex:
            running = self._begun(key, call)
            if self._waiting >= self.waiters:
                raise cannot_check(
                    OutageCause.BUSY, "too many requests wait for the identity provider", 1
                )
            self._waiting += 1
        try:
            answer: T = running.future.result(max(0.0, running.deadline - time.monotonic()))
        except TimeoutError:
            raise cannot_check(
                OutageCause.TIMEOUT, "the identity provider does not answer in time"
            ) from None
        finally:
            with self._mutex:
                self._waiting -= 1
        return answer

    def begin(self, key: str, call: Callable[[], object]) -> None:
        """Start a call, without waiting for it, unless one with this key runs."""
        try:
            with self._mutex:
                self._begun(key, call)
        except StagingApiError:
            return

    def close(self) -> None:
        """Start no more calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _begun(self, key: str, call: Callable[[], Any]) -> "_Call":
        now = time.monotonic()
        running = self._running.get(key)
        if running is not None and now < running.deadline:
            return running
        if not _calls_allowed.get()():
            raise TooManyRequests(
                "too many requests from this address were refused", retry_after_seconds=1
            )
        if now < self._silent_until:
            raise cannot_check(
                OutageCause.PAUSED, "the identity provider did not answer just now", 1
            )
        if len(self._running) >= self.waiters + _THREADS:
            raise cannot_check(OutageCause.BUSY, "too many calls to the identity provider", 1)
        deadline = now + self.seconds
        try:
            future = self._threads.submit(self._run, key, call, deadline)
        except RuntimeError:
            # The system cannot start a thread at the moment, or the process ends.
            raise cannot_check(
                OutageCause.BUSY, "no thread is free to call the provider", 1
            ) from None
        begun = self._running[key] = _Call(deadline, future)
        return begun

    def _run(self, key: str, call: Callable[[], T], deadline: float) -> T:
        from staging_api.call_deadline import limited

        outcome, silent = "answered", False
        with limited(deadline - time.monotonic()) as limit:
            try:
                return call()
            except IdentityOutage as error:
                outcome = OutageCause.TIMEOUT.value if limit.over else error.cause.value
                silent = limit.over or error.cause in SILENT
                raise
            finally:
                metrics.IDENTITY_CALLS.labels(outcome).inc()
                self._ended(key, deadline, silent)

    def _ended(self, key: str, deadline: float, silent: bool) -> None:
        with self._mutex:
            # After the deadline of this call another one with this key may have started.
            running = self._running.get(key)
            if running is not None and running.deadline == deadline:
                del self._running[key]
            self._silent_until = time.monotonic() + _PAUSE_SECONDS if silent else float("-inf")


@dataclass(frozen=True)
class _Call:
    deadline: float
    future: "Future[Any]"
