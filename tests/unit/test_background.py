"""Background threads that live as long as their process."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from staging_api.background import BackgroundThread
from staging_api.errors import Unavailable
from tests.pauses import patch_sleep


class Loop:
    """Loop of such a thread: it counts, fails on demand, and waits until it is stopped."""

    def __init__(self) -> None:
        self.runs = 0
        self.fails = 0
        self.began = threading.Event()
        self.stop = threading.Event()

    def __call__(self) -> None:
        self.runs += 1
        if self.runs <= self.fails:
            raise MemoryError("no room just now")
        self.began.set()
        self.stop.wait(30)


def test_it_starts_once_and_is_started_again_only_if_it_is_gone() -> None:
    loop = Loop()
    thread = BackgroundThread("loop", loop)
    thread.check()
    thread.join()
    thread.ensure()
    thread.ensure()
    assert loop.began.wait(10)
    assert loop.runs == 1
    thread.check()
    loop.stop.set()
    thread.join()
    # A thread whose work is done is neither missing nor restarted.
    thread.check()
    assert loop.runs == 1


def test_a_start_that_fails_is_an_error_and_the_next_may_succeed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = Loop()
    thread = BackgroundThread("loop", loop)
    with monkeypatch.context() as no_room:
        no_room.setattr(threading.Thread, "start", cannot_start)
        with pytest.raises(Unavailable, match="no thread") as refused:
            thread.ensure()
    assert refused.value.retry_after_seconds == 2
    thread.join()
    with pytest.raises(Unavailable, match="loop") as missing:
        thread.check()
    assert missing.value.retry_after_seconds == 2
    thread.ensure()
    assert loop.began.wait(10)
    thread.check()
    loop.stop.set()
    thread.join()


def test_a_thread_that_is_being_started_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop()
    thread = BackgroundThread("loop", loop)
    found: list[str] = []
    start = threading.Thread.start

    def look() -> None:
        try:
            thread.check()
            found.append("runs")
        except Unavailable as error:
            found.append(str(error))

    looks = [threading.Thread(target=look) for _ in range(2)]

    def slow_start(started: threading.Thread) -> None:
        # A probe looks before the thread runs, and again before `ensure` has its result.
        start(looks[0])
        looks[0].join(0.2)
        start(started)
        start(looks[1])
        looks[1].join(0.2)

    with monkeypatch.context() as slow:
        slow.setattr(threading.Thread, "start", slow_start)
        thread.ensure()
    for each in looks:
        each.join()
    assert found == ["runs", "runs"]
    loop.stop.set()
    thread.join()


def cannot_start(_: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_function_that_fails_is_run_again_after_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []
    patch_sleep(monkeypatch, pauses.append)
    loop = Loop()
    loop.fails = 3
    thread = BackgroundThread("loop", loop)
    thread.ensure()
    assert loop.began.wait(10)
    assert loop.runs == 4
    assert pauses.count(1.0) == 3
    loop.stop.set()
    thread.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_was_killed_is_missed_until_it_is_started_again() -> None:
    loop = Loop()

    def run() -> None:
        if loop.runs == 0:
            loop.runs += 1
            raise SystemExit
        loop()

    thread = BackgroundThread("loop", run)
    thread.ensure()
    thread.join()
    with pytest.raises(Unavailable, match="loop"):
        thread.check()
    thread.ensure()
    assert loop.began.wait(10)
    thread.check()
    loop.stop.set()
    thread.join()


_NEVER_ENDING = """
import threading, time
from contextlib import nullcontext
from staging_api.background import BackgroundThread
from staging_api.prefetch import BoundedQueue
from staging_api.staging.housekeeping import Housekeeping, HousekeepingStep

began = [threading.Event() for _ in range(3)]

def wait_for_ever(number):
    began[number].set()
    time.sleep(3600)
    yield

BackgroundThread("loop", lambda: list(wait_for_ever(0))).ensure()
BoundedQueue().feed(lambda: nullcontext(wait_for_ever(1)), "feed")
Housekeeping("test", [HousekeepingStep("wait", 1, lambda: list(wait_for_ever(2)))]).start()
for each in began:
    each.wait()
print("ends")
"""


def test_no_thread_keeps_a_process_alive_that_has_ended() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", _NEVER_ENDING],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )
    assert ended.stdout == "ends\n"
