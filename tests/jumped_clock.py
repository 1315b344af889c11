"""Run a module in a process whose wall clock is wrong by a number of seconds.

    python -m tests.jumped_clock SECONDS MODULE [ARGUMENT ...]

Python's clocks are wrong; the kernel's clock and the times of files are right, as if a file server
sets them. Monotonic clocks such as `time.monotonic` are not changed.
"""

import datetime as dt
import runpy
import subprocess
import sys
import time
from collections.abc import Mapping

DAY_SECONDS = 86400.0


def run_jumped(
    seconds: float, module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> str:
    """Run a module to its end; return its output."""
    command = [sys.executable, "-m", "tests.jumped_clock", str(seconds), module, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _jump(seconds: float) -> None:
    right, right_ns, right_datetime = time.time, time.time_ns, dt.datetime

    class Kind(type):
        def __instancecheck__(cls, value: object) -> bool:
            return isinstance(value, right_datetime)

    class Wrong(dt.datetime, metaclass=Kind):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> dt.datetime:  # type: ignore[override]
            return right_datetime.now(tz) + dt.timedelta(seconds=seconds)

    time.time = lambda: right() + seconds
    time.time_ns = lambda: right_ns() + int(seconds * 1e9)
    dt.datetime = Wrong  # type: ignore[misc]


if __name__ == "__main__":
    _jump(float(sys.argv[1]))
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
