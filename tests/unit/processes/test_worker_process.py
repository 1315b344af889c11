"""Process of a worker: started parts, order of stopping, and exit despite hanging parts."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.processes import worker as module
from staging_api.settings import Settings

Done = list[Any]


class Parts:
    """Services and a worker that record their calls."""

    def __init__(self) -> None:
        self.done: Done = []
        self.while_running: Callable[[], None] = lambda: None
        self.stop: Callable[[], None] = lambda: None
        self.loads: list[int] = []
        begin = self.noted("locks end", 4.5)
        self.drain = SimpleNamespace(begin=self.noted("drain"))
        self.locks = SimpleNamespace(
            holder="worker-1",
            shutdown=SimpleNamespace(begin=begin),
            release_all=self.noted("released"),
        )
        self.probes = SimpleNamespace(threads="threads")
        self.close = self.noted("closed")

    def noted(self, name: str, answer: Any = None) -> Callable[..., Any]:
        def call(*given: Any) -> Any:
            self.done.append((name, *given))
            return answer

        return call

    def worker(self) -> Any:
        def run() -> None:
            self.done.append(("run",))
            self.while_running()

        return SimpleNamespace(run=run, stop=self.noted("stop"), busy=3, check="check")

    def renewal(self) -> Any:
        @contextmanager
        def running() -> Iterator[None]:
            self.done.append(("renewal",))
            yield
            self.done.append(("renewal ended",))

        return SimpleNamespace(running=running)

    def begin_heartbeat(self, kind: str, places: int, bind: str | None, load: Any) -> None:
        self.done.append(("heartbeat", kind, places, bind))
        self.loads.append(load().busy)


class Timer:
    """Timer that only records its start."""

    def __init__(self, seconds: float, function: Any, given: Any) -> None:
        self.noted = (seconds, function, given)
        self.daemon = self.started = False

    def start(self) -> None:
        self.started = True


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Parts:
    found = Parts()
    monkeypatch.setattr(module, "build", lambda _settings: found)
    monkeypatch.setattr(module, "keep_from_others", found.noted("kept from others"))
    monkeypatch.setattr(module, "on_stop", lambda stop: setattr(found, "stop", stop))
    monkeypatch.setattr(
        module, "create_worker_probes", lambda _probes, alive: ("probes", tuple(alive.items()))
    )

    def probes(bind: str, app: Any) -> Any:
        found.done.append(("probes", bind, app))
        return SimpleNamespace(start=found.noted("probes started"))

    monkeypatch.setattr(module, "WorkerProbes", probes)
    return found


@pytest.mark.parametrize("bind", ["", "127.0.0.1:7"])
def test_a_worker_answers_probes_is_shown_renews_and_works_until_it_is_closed(
    parts: Parts, bind: str
) -> None:
    module.run_worker(Settings.from_env(worker_bind=bind, worker_jobs=5))
    alive = ("probes", (("loop", "check"), ("threads", "threads")))
    assert parts.done == [
        ("kept from others",),
        *([("probes", bind, alive), ("probes started",)] if bind else []),
        ("heartbeat", "worker", 5, bind or None),
        ("renewal",),
        ("run",),
        ("renewal ended",),
        ("closed",),
    ]
    assert parts.loads == [3]


def test_what_breaks_a_worker_leaves_no_lock(parts: Parts) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    parts.while_running = fail
    with pytest.raises(ZeroDivisionError):
        module.run_worker(Settings())
    assert parts.done[-1] == ("closed",)


@pytest.mark.parametrize("refuses", [False, True])
def test_a_worker_that_stops_says_so_first_and_gives_its_locks_back_in_time(
    parts: Parts, monkeypatch: pytest.MonkeyPatch, refuses: bool
) -> None:
    made: list[Timer] = []

    def timer(*given: Any) -> Timer:
        made.append(Timer(*given))
        return made[-1]

    def refuse(_timer: Timer) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading, "Timer", timer)
    if refuses:
        monkeypatch.setattr(Timer, "start", refuse)

    def stop() -> None:
        parts.stop()

    parts.while_running = stop
    module.run_worker(Settings.from_env(shutdown_seconds=5))
    at = parts.done.index(("run",))
    assert parts.done[at + 1 : at + 4] == [("drain",), ("locks end", 5.0), ("stop",)]
    [last] = made
    assert last.noted == (4.5, module._end_at_once, [parts])
    assert last.daemon
    assert last.started is not refuses


def test_the_way_out_past_what_hangs_releases_first(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "_exit", lambda status: parts.done.append(("exit", status)))
    services: Any = parts
    module._end_at_once(services)
    assert parts.done == [("released",), ("exit", 0)]
