"""Duration of a hand-over, from the call of release until the waiter has the lock."""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.lock.measure import Figure
from staging_api.db.engine import Database, open_database
from staging_api.errors import LockHeld
from staging_api.locks.hold import Locks, RequestOrigin, hold
from staging_api.locks.keeper import LeaseKeeper
from staging_api.locks.model import ARCHIVE
from staging_api.locks.queue import WaitQueue

_ASKER = RequestOrigin("bench")
_POLL_SECONDS = 0.1


def hand_over_ms(url: str, rounds: int, times: int) -> dict[str, Figure]:
    """Return the p50 of each round: of ours, and of a client that polls every 100 ms."""
    found: dict[str, list[float]] = {"ours": [], "polling": []}
    with _process(url) as one, _process(url) as two:
        for _ in range(rounds):
            found["ours"].append(_p50(one, two, times, 30.0))
            found["polling"].append(_p50(one, two, max(3, times // 3), 0.0))
    return {name: Figure(tuple(values)) for name, values in found.items()}


def _p50(one: Locks, two: Locks, times: int, wait_seconds: float) -> float:
    return statistics.median(_once(one, two, wait_seconds) for _ in range(times)) * 1000


def _once(holder: Locks, waiter: Locks, wait_seconds: float) -> float:
    granted: list[float] = []

    def wait() -> None:
        while not granted:
            try:
                with hold(waiter, ARCHIVE, "handed", _ASKER, wait_seconds):
                    granted.append(time.perf_counter())
            except LockHeld:
                time.sleep(_POLL_SECONDS)

    with hold(holder, ARCHIVE, "handed", _ASKER):
        thread = threading.Thread(target=wait)
        thread.start()
        # Well into its wait, and at a varying distance from its next poll.
        time.sleep(0.12 + (time.perf_counter_ns() % 100) / 1000)
        released = time.perf_counter()
    thread.join()
    return granted[0] - released


@contextmanager
def _process(url: str) -> Iterator[Locks]:
    database: Database = open_database(url, 4)
    queue = WaitQueue(database, url, threading.BoundedSemaphore(4))
    locks = Locks(database, LeaseKeeper(open_database(url, 1)), queue, "bench", 60.0)
    try:
        yield locks
    finally:
        locks.close()
        database.close()
