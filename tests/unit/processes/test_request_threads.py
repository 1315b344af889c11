"""Thread pool that does not count waiting threads."""

import random
import threading
import time
from collections.abc import Callable

import pytest

from staging_api.processes.request_threads import RequestThreads
from tests.service import eventually


def started(most: int, most_parked: int = 100) -> RequestThreads:
    threads = RequestThreads(most, most_parked)
    threads.start()
    return threads


def parking(threads: RequestThreads, until: threading.Event) -> Callable[[], None]:
    def job() -> None:
        with threads.parked():
            until.wait()

    return job


def test_parked_jobs_take_no_place_from_others():
    threads, released, done = started(2), threading.Event(), threading.Semaphore(0)
    for _ in range(50):
        threads.submit(parking(threads, released))
    eventually(lambda: threads._parked == 50, "they are not parked")
    for _ in range(5):
        threads.submit(done.release)
    assert all(done.acquire(timeout=30) for _ in range(5))
    released.set()
    eventually(lambda: threads._parked == 0, "they do not come back")


def test_jobs_returning_from_a_wait_do_not_exceed_the_concurrency_limit():
    threads, mutex = started(3), threading.Lock()
    running, most, over = 0, 0, threading.Semaphore(0)

    def work() -> None:
        nonlocal running, most
        with mutex:
            running += 1
            most = max(most, running)
        time.sleep(random.uniform(0, 0.003))
        with mutex:
            running -= 1

    def job() -> None:
        work()
        with threads.parked():
            time.sleep(random.uniform(0, 0.003))
        work()
        over.release()

    for _ in range(200):
        threads.submit(job)
    assert all(over.acquire(timeout=30) for _ in range(200)), "a job was forgotten"
    assert most <= 3


def test_a_wait_above_the_limit_of_parked_ones_keeps_its_thread():
    threads, released = started(2, most_parked=1), threading.Event()
    ran = threading.Event()
    for _ in range(3):
        threads.submit(parking(threads, released))
    threads.submit(ran.set)
    assert not ran.wait(0.2)
    assert threads._parked == 1
    released.set()
    assert ran.wait(30)


def test_without_a_thread_to_be_had_nothing_is_lost(monkeypatch: pytest.MonkeyPatch):
    threads, released, ran = started(2), threading.Event(), threading.Event()

    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    for _ in range(2):
        threads.submit(parking(threads, released))
    threads.submit(ran.set)
    released.set()
    assert ran.wait(30)


def test_threads_that_were_needed_for_a_while_end_and_each_job_goes_on():
    before, over = threading.active_count(), threading.Semaphore(0)
    threads, released, goes_on = started(2), threading.Event(), threading.Event()

    def job() -> None:
        with threads.parked():
            released.wait()
        goes_on.wait()
        over.release()

    for _ in range(60):
        threads.submit(job)
    eventually(lambda: threads._parked == 60, "they are not parked")
    assert threading.active_count() >= before + 60
    released.set()
    # All at the same time: with more tasks than idle threads.
    eventually(lambda: threads._returning == 58, "they do not come back")
    goes_on.set()
    assert all(over.acquire(timeout=30) for _ in range(60)), "a job was forgotten"
    eventually(lambda: threading.active_count() <= before + 15, "they stay")


def test_a_job_that_breaks_leaves_its_thread_to_others():
    threads, ran = started(1), threading.Event()

    def broken() -> None:
        raise SystemExit

    threads.submit(broken)
    threads.submit(ran.set)
    assert ran.wait(30)


def test_added_jobs_begin_when_they_are_handed_out():
    threads, ran = started(4), threading.Semaphore(0)
    eventually(lambda: len(threads._idle) == 4, "the threads do not wait")
    for _ in range(3):
        threads.add(ran.release)
    assert not ran.acquire(timeout=0.2)
    threads.hand_out()
    assert all(ran.acquire(timeout=30) for _ in range(3))


def test_a_thread_that_ends_a_job_takes_an_added_one():
    threads, begun, goes_on, ran = started(1), *(threading.Event() for _ in range(3))

    def first() -> None:
        begun.set()
        goes_on.wait()

    threads.submit(first)
    assert begun.wait(30)
    threads.add(ran.set)
    goes_on.set()
    assert ran.wait(30)


def test_jobs_one_after_another_have_the_same_thread():
    threads, found, ran = started(8), set(), threading.Semaphore(0)

    def job() -> None:
        found.add(threading.get_ident())
        ran.release()

    for _ in range(20):
        eventually(lambda: len(threads._idle) == 8, "the threads do not wait")
        threads.submit(job)
        assert ran.acquire(timeout=30)
    assert len(found) == 1
