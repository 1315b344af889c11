"""Spare threads: their number, their metrics, and behaviour when no thread can be started."""

import logging
import threading
from collections.abc import Callable

import pytest

from staging_api.processes.request_threads import RequestThreads
from tests.service import eventually


def parking(
    threads: RequestThreads, until: threading.Event, then: threading.Event
) -> Callable[[], None]:
    def job() -> None:
        with threads.parked():
            until.wait()
        then.wait()

    return job


def test_eight_threads_more_than_there_are_places_are_kept() -> None:
    threads, released, goes_on = RequestThreads(2, 100), threading.Event(), threading.Event()
    threads.start()
    for _ in range(30):
        threads.submit(parking(threads, released, goes_on))
    eventually(lambda: threads._parked == 30, "they are not parked")
    # A wait is counted a moment before its slot is free.
    eventually(lambda: (threads.running, threads.waiting) == (0, 30), "they have places")
    released.set()
    eventually(lambda: threads._returning == 28, "they do not come back")
    assert threads.running == 2
    goes_on.set()
    eventually(lambda: len(threads._idle) == 10, "they do not come to rest")
    assert (threads._present, threads.running, threads.waiting) == (10, 0, 0)
    assert threads._parked == threads._returning == 0


def test_jobs_without_a_place_wait_and_begin_in_order() -> None:
    threads, goes_on, ran = RequestThreads(1, 0), threading.Event(), list[int]()
    threads.start()

    def first() -> None:
        goes_on.wait()

    threads.submit(first)
    for number in range(5):
        threads.submit(lambda number=number: ran.append(number))  # type: ignore[misc]
    eventually(lambda: (threads.running, threads.waiting) == (1, 5), "the first does not begin")
    goes_on.set()
    eventually(lambda: len(ran) == 5, "they are forgotten")
    assert ran == [0, 1, 2, 3, 4]
    eventually(lambda: threads.running == 0, "its place is not free")


def test_a_thread_is_no_reason_for_a_process_to_live() -> None:
    threads, found = RequestThreads(1, 0), list[threading.Thread]()
    threads.start()
    threads.submit(lambda: found.append(threading.current_thread()))
    eventually(lambda: bool(found), "it does not run")
    assert (found[0].daemon, found[0].name) == (True, "request")


def test_where_no_thread_can_be_started_a_wait_keeps_its_place_and_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    threads = RequestThreads(1, 5)
    threads.start()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    found: list[tuple[int, int, int]] = []

    def job() -> None:
        for _ in range(3):
            with threads.parked():
                found.append((threads._present, threads._running, threads._parked))

    with caplog.at_level(logging.WARNING):
        threads.submit(job)
        eventually(lambda: threads._running == 0 and len(found) == 3, "it does not end")
    assert found == [(1, 1, 0)] * 3
    assert caplog.messages == ["a request waits in its place: can't start new thread"] * 3


def test_a_thread_that_is_there_is_not_started_again_for_a_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, started = RequestThreads(1, 5), list[int]()
    threads.start()
    start = threads._start_thread
    monkeypatch.setattr(threads, "_start_thread", lambda: (started.append(1), start()))
    done = threading.Semaphore(0)

    def job() -> None:
        with threads.parked():
            pass
        done.release()

    for number in range(1, 13):
        threads.submit(job)
        assert done.acquire(timeout=30)
        eventually(lambda: threads._running == 0, "it does not end")
        assert len(started) == 1, number
    assert threads._present == 2


def test_what_ended_a_threads_work_is_said(caplog: pytest.LogCaptureFixture) -> None:
    threads = RequestThreads(1, 0)
    threads.start()

    def broken() -> None:
        raise SystemExit

    threads.submit(broken)
    eventually(lambda: bool(caplog.messages), "nothing is said")
    assert caplog.messages == ["a request ended its thread's work"]
