"""Shutdown of a process: what stops at its start, and what at its deadline."""

import os
import time

import pytest

from staging_api.errors import ShuttingDown
from staging_api.shutdown import Drain, Shutdown


def test_a_process_that_does_not_end_stops_nothing() -> None:
    shutdown = Shutdown()
    assert not shutdown.begun
    shutdown.check_begun()
    shutdown.check_over()


def test_nothing_new_begins_once_it_ends_and_work_goes_on_while_there_is_time() -> None:
    shutdown = Shutdown()
    assert shutdown.begin(1000) == 900
    assert shutdown.begun
    with pytest.raises(ShuttingDown):
        shutdown.check_begun()
    shutdown.check_over()


def test_work_stops_when_its_share_of_the_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    shutdown = Shutdown()
    now = [50.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    shutdown.begin(10)
    # A second signal does not extend the deadline.
    now[0] = 57.9
    shutdown.begin(10)
    shutdown.check_over()
    now[0] = 58.0
    with pytest.raises(ShuttingDown):
        shutdown.check_over()


def test_a_drain_is_seen_by_every_process_that_was_forked_before() -> None:
    drain, other = Drain(), Drain()
    asked, ask = os.pipe()
    child = os.fork()
    if not child:
        os.read(asked, 1)
        os._exit(int(drain.begun) + 2 * int(other.begun))
    assert not drain.begun
    drain.begin()
    os.write(ask, b"x")
    _, status = os.waitpid(child, 0)
    os.close(asked)
    os.close(ask)
    assert os.waitstatus_to_exitcode(status) == 1
    assert (drain.begun, other.begun) == (True, False)
