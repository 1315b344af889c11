"""Clients at work until they have to stop, and what they saw, by the kind of work.

A client does what the service says: it retries after Retry-After. What it must not meet is an
error without a "come again", an answer that is not true, or a call that never succeeds.
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

#: How long a client is patient with one call, troubles and all.
PATIENCE_SECONDS = 240.0


@dataclass
class Work:
    """What became of the calls of one kind.

    Attributes:
        asked: calls that were begun.
        told_again: answers, or broken connections, after which the client came again.
        seconds: of each call that succeeded, the waits that it was told included.
    """

    asked: int = 0
    told_again: int = 0
    seconds: list[float] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """The time within which this share of the calls succeeded."""
        ordered = sorted(self.seconds) or [0.0]
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@dataclass
class Seen:
    """What the clients saw.

    Attributes:
        work: what was asked for.
        come_again: answers with Retry-After, by their code, where that is known.
        wrong: what a client must not see, in words.
    """

    work: defaultdict[str, Work] = field(default_factory=lambda: defaultdict(Work))
    come_again: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    _now: threading.local = field(default_factory=threading.local)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    def retried(self, error: StagingApiError, _seconds: float) -> None:
        """Note why a client retries."""
        with self._writing:
            self.come_again[error.code] += 1

    def comes_again(self) -> None:
        """Note that the client of this thread retries."""
        with self._writing:
            self.work[self._now.what].told_again += 1

    def insist(self, what: str, call: Callable[[], T]) -> T | None:
        """The answer to the call, however often the service says to come again."""
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
    """The client's own pacing; says so when it is needed."""

    note: Callable[[], None] = lambda: None

    def pause_seconds(self, tries: int, retry_after_seconds: float | None) -> float:
        """As ever."""
        self.note()
        return super().pause_seconds(tries, retry_after_seconds)


class Shift:
    """What the clients of one run share: whom they ask, what they saw, and when it is over."""

    def __init__(self, url: str, seed: int = 1) -> None:
        """Let them ask the service at `url`."""
        self.url = url
        self.seen = Seen()
        self.random = random.Random(seed)
        self.over = threading.Event()

    def client(self) -> StagingClient:
        """A client of the service."""
        return StagingClient(self.url, pacing=NotedPacing(note=self.seen.comes_again))

    @contextmanager
    def at_work(self, work: Sequence[Callable[[StagingClient], None]]) -> Iterator[None]:
        """Let a client do each of these for the block; ends when each has done what it began."""
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
