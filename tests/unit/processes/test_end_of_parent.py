"""End of a child with its parent, also if the parent died before the child asked for it."""

import os
import signal

import pytest

from staging_api.processes.signals import stop_when_parent_dies


@pytest.mark.parametrize(
    ("parent", "status"),
    [(os.getpid, 0), (os.getppid, -signal.SIGTERM)],
    ids=["lives", "died before"],
)
def test_a_child_whose_parent_died_before_it_asked_ends_and_another_goes_on(parent, status):
    expected = parent()
    child = os.fork()
    if not child:
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            stop_when_parent_dies(expected)
            os._exit(0)
        finally:
            os._exit(1)
    _, ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended) == status
