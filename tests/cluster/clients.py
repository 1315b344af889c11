"""Clients that work until they have to stop, and their results by kind of work.

A client obeys the service: it retries after Retry-After. It must never get an error without a
Retry-After, a wrong response, or a call that never succeeds.
"""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from staging_api.client.client import StagingClient
from staging_api.client.pacing import Pacing
from staging_api.errors import StagingApiError

T = TypeVar("T")

#: Total time that a client spends on one call, including retries.
PATIENCE_SECONDS = 240.0


@dataclass
class Work:
    """Results of the calls of one kind.

    Attributes:
        asked: number of calls that were begun.
        told_again: responses, or broken connections, after which the client retried.
        seconds: duration of each successful call, including the demanded waits.
    """

    asked: int = 0
    told_again: int = 0
    seconds: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """Return the time within which this share of the calls succeeded."""
        ordered = sorted(self.seconds) or [0.0]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Seen:
    """Observations of the clients.

    Attributes:
        work: results by kind of work.
        come_again: responses with Retry-After by error code, where it is known.
        wrong: violations, as texts.
    """

    work: defaultdict[str, Work] = field(default_factory=lambda: defaultdict(Work))
    come_again: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _now: threading.local = field(default_factory=threading.local)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def retried(self, error: StagingApiError, _seconds: float) -> None:
        """Record the reason of a client's retry."""
        with self._writing:
            self.come_again[error.code] += 1

    def comes_again(self) -> None:
        """Record that this thread's client retries."""
        with self._writing:
            self.work[self._now.what].told_again += 1

    def insist(self, what: str, call: Callable[[], T]) -> T | None:
        """Repeat a call as often as the service demands; return its response."""
        began = time.monotonic()
        self._now.what = what
        with self._writing:
            self.work[what].asked += 1
        while True:
            try:
                answer = call()
            except StagingApiError as error:
                if not error.retryable:
                    self.wrong.append(f"{what}: {error.code}: {error.detail}")
                    return None
                if time.monotonic() - began > PATIENCE_SECONDS:
                    self.wrong.append(f"{what}: never succeeded: {error.detail}")
                    return None
                self.retried(error, 0.0)
                self.comes_again()
                time.sleep(error.retry_after_seconds or 1.0)
            else:
                with self._writing:
                    self.work[what].seconds.append(time.monotonic() - began)
                return answer


@dataclass(frozen=True)
class NotedPacing(Pacing):
    """The client's own pacing, which also records each pause."""

    note: Callable[[], None] = lambda: None

    def pause_seconds(self, tries: int, retry_after_seconds: float | None) -> float:
        """Return the usual pause."""
        self.note()
        return super().pause_seconds(tries, retry_after_seconds)


class Shift:
    """Shared state of a run's clients: the service, their observations, and the end."""

    def __init__(self, url: str, seed: int = 1) -> None:
        """Prepare clients of the service at `url`."""
        self.url = url
        self.seen = Seen()
        self.random = random.Random(seed)
        self.over = threading.Event()

    def client(self) -> StagingClient:
        """Return a client of the service."""
        return StagingClient(self.url, pacing=NotedPacing(note=self.seen.comes_again))

    @contextmanager
    def at_work(self, work: Sequence[Callable[[StagingClient], None]]) -> Iterator[None]:
        """Run a client for each kind of work during the block; wait for their last calls."""
        with ThreadPoolExecutor(len(work)) as pool:
            clients = [pool.submit(self._until_over, each) for each in work]
            try:
                yield
            finally:
                self.over.set()
            for each in clients:
                each.result()

    def _until_over(self, work: Callable[[StagingClient], None]) -> None:
        with self.client() as client:
            while not self.over.is_set():
                work(client)
