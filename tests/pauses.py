"""Replacement of `time.sleep`."""

import threading
import time
from collections.abc import Callable

import pytest


def patch_sleep(monkeypatch: pytest.MonkeyPatch, pause: Callable[[float], object]) -> None:
    """Replace `time.sleep` by `pause`.

    Threads that other tests of this process left behind continue to use the real function: their
    pauses are not this test's.
    """
    real, others = time.sleep, set(threading.enumerate()) - {threading.current_thread()}

    def sleep(seconds: float) -> None:
        if threading.current_thread() in others:
            real(seconds)
        else:
            pause(seconds)

    monkeypatch.setattr(time, "sleep", sleep)
