"""Restart of ended children, and growth of the pauses between restarts."""

import mmap
import os
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.processes import children as module
from staging_api.processes.children import REFUSED_STATUS, TAKEN_STATUS, Children


class Clock:
    """The time of the test, which the test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(time, "monotonic", found)
    return found


class Kept(Children):
    """Children without processes, whose starts are recorded."""

    def __init__(self) -> None:
        super().__init__({"api": lambda: None})
        self.starts: list[float] = []
        self.status: int | None = None

    def _start(self, name: str, unblocked: Any, pause_seconds: float) -> None:
        process: Any = SimpleNamespace(exitcode=self.status, is_alive=lambda: self.status is None)
        self.starts.append(pause_seconds)
        self._runs[name] = module._ChildRun(process, time.monotonic(), pause_seconds)

    def look(self) -> None:
        self._keep("api", set())


def test_a_child_that_ends_soon_waits_twice_as_long_each_time_and_thirty_seconds_at_most(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    children = Kept()
    children.status = 1
    children.look()
    for number, pause in enumerate([1, 2, 4, 8, 16, 30, 30], start=1):
        children.look()  # the child has ended
        clock.now += pause - 0.5
        children.look()
        assert len(children.starts) == number, "it is started before its pause is over"
        clock.now += 0.5
        children.look()
        assert len(children.starts) == number + 1
    assert caplog.messages[1] == "api ended with status 1; it is started again in 2 s"
    assert not children._stopping.is_set()


@pytest.mark.parametrize(("life", "next_pause"), [(29.5, 8.0), (30.0, 1.0)])
def test_a_child_that_lived_for_half_a_minute_begins_with_the_shortest_pause(
    clock: Clock, life: float, next_pause: float
) -> None:
    children = Kept()
    children.status = 1
    children._start("api", set(), 4.0)
    clock.now += life
    children.look()
    run = children._runs["api"]
    assert run.pause_seconds == next_pause
    assert run.again_at == clock.now + (1.0 if next_pause == 1.0 else 4.0)


@pytest.mark.parametrize("status", [REFUSED_STATUS, TAKEN_STATUS])
def test_a_child_that_cannot_work_ends_all_with_its_status(clock: Clock, status: int) -> None:
    children = Kept()
    children.status = status
    children.look()
    children.look()
    assert children._stopping.is_set()
    assert children._runs["api"].again_at is None
    with pytest.raises(SystemExit) as ended:
        children._runs.clear()
        children.run()
    assert ended.value.code == status


def test_a_child_that_lives_is_left_alone(clock: Clock) -> None:
    children = Kept()
    for _ in range(3):
        children.look()
        clock.now += 100
    assert children.starts == [1.0]


@pytest.mark.parametrize(
    ("number", "ignored"),
    [(signal.SIGTERM, ()), (signal.SIGHUP, ()), (signal.SIGTERM, (signal.SIGHUP,))],
)
def test_a_signal_ends_all_and_leaves_signals_as_they_were(
    number: signal.Signals, ignored: tuple[signal.Signals, ...]
) -> None:
    # In a process of its own: else the signal hits threads of other tests, and ends this process.
    runner = os.fork()
    if not runner:
        try:
            os._exit(0 if ends_by_a_signal(number, ignored) else 1)
        finally:
            os._exit(2)
    _, ended = os.waitpid(runner, 0)
    assert os.waitstatus_to_exitcode(ended) == 0


def ends_by_a_signal(number: signal.Signals, ignored: tuple[signal.Signals, ...]) -> bool:
    """Return whether one signal from a child ends both, and signals are restored.

    The child sends the ignored signals first, and pauses, so that a wrong reaction would show.
    """

    def live() -> None:
        while True:
            signal.pause()

    def ask() -> None:
        for each in ignored:
            os.kill(os.getppid(), each)
            time.sleep(1)
        asked[number] = 1
        os.kill(os.getppid(), number)
        live()

    asked = mmap.mmap(-1, signal.NSIG)
    for each in (signal.SIGHUP, *ignored):
        signal.signal(each, signal.SIG_IGN if each in ignored else signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    children = Children({"one": ask, "other": live})
    children.run()
    codes = [run.process.exitcode for run in children._runs.values()]
    is_as_before = not signal.pthread_sigmask(signal.SIG_BLOCK, [])
    is_asked = asked[number] == 1
    return is_as_before and is_asked and codes == [-signal.SIGTERM] * 2
