"""Several things at once, ended by the first failure."""

import contextvars
import threading

import pytest

from staging_api.staging.side_by_side import run_side_by_side

WHOSE = contextvars.ContextVar("whose", default="nobody's")


def test_no_more_than_allowed_run_at_once():
    gate, running, most = threading.Barrier(2), [], []

    def job():
        running.append(1)
        most.append(len(running))
        # Passes only with another: two run at once.
        gate.wait(10)
        running.pop()

    run_side_by_side([job] * 6, 2)
    assert len(most) == 6
    assert max(most) == 2


def test_after_a_failure_none_is_begun_and_those_that_run_end_first():
    begun, gate, time_passes = [], threading.Barrier(2), threading.Event()

    def fails():
        begun.append("fails")
        gate.wait(10)
        raise ValueError("broken")

    def runs():
        begun.append("runs")
        gate.wait(10)
        time_passes.wait(0.2)
        begun.append("ended")

    with pytest.raises(ValueError, match="broken"):
        run_side_by_side([fails, runs, *[lambda: begun.append("more")] * 20], 2)
    assert sorted(begun) == ["ended", "fails", "runs"]


def test_a_single_job_needs_no_thread():
    ran = []
    run_side_by_side([lambda: ran.append(threading.current_thread())], 1)
    run_side_by_side([], 0)
    assert ran == [threading.current_thread()]


def test_jobs_know_of_which_request_they_are():
    token = WHOSE.set("ours")
    try:
        told = []
        run_side_by_side([lambda: told.append(WHOSE.get())] * 2, 2)
    finally:
        WHOSE.reset(token)
    assert told == ["ours", "ours"]
