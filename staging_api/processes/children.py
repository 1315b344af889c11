"""Child processes that are kept running: `serve` runs the API and a worker as children.

What if `serve` dies, by any signal? Its children see their standard input end, and stop as if by
SIGTERM. A child: it is started again.
"""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from staging_api.processes.signals import on_stop

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# So long a life is no failure to start.
_LONG_LIFE_SECONDS = 30.0
#: How a process ends that cannot work with its settings, or whose address another program has; see
#: ``cli/exits.py``.
REFUSED_STATUS, TAKEN_STATUS = 4, 9
_FINAL_STATUSES = frozenset({REFUSED_STATUS, TAKEN_STATUS})


@dataclass
class _ChildRun:
    """One run of a child's program, and when the next one begins should it end."""

    process: "subprocess.Popen[bytes]"
    began_at: float
    pause_seconds: float
    again_at: float | None = None


@dataclass
class Children:
    """Programs that run as long as this one, each started again should it end.

    One that cannot work as things are would end each time: then all of them end, and so does this,
    with the same status. One that ends soon after its start for another reason is started again
    after a pause, which grows each time.
    """

    commands: Sequence[Sequence[str]]
    _runs: dict[int, _ChildRun] = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _status: int = 0

    def run(self) -> None:
        """Run them until a signal says stop, then stop them all and wait.

        Raises:
            SystemExit: one of them cannot work; with its status.
        """
        on_stop(self._stopping.set)
        try:
            while not self._stopping.wait(0.2):
                for number, command in enumerate(self.commands):
                    self._keep(number, command)
        finally:
            for run in self._runs.values():
                run.process.terminate()
            for run in self._runs.values():
                run.process.wait()
        if self._status:
            raise SystemExit(self._status)

    def _keep(self, number: int, command: Sequence[str]) -> None:
        run = self._runs.get(number)
        if run is None:
            self._start(number, command, _RESTART_SECONDS)
        elif run.again_at is not None:
            if time.monotonic() >= run.again_at:
                self._start(number, command, run.pause_seconds)
        elif run.process.poll() is not None:
            self._note_end(run, command)

    def _start(self, number: int, command: Sequence[str], pause_seconds: float) -> None:
        # Nothing is written to the pipe: its end shows the child that this process is gone.
        process = subprocess.Popen(command, stdin=subprocess.PIPE)
        self._runs[number] = _ChildRun(process, time.monotonic(), pause_seconds)

    def _note_end(self, run: _ChildRun, command: Sequence[str]) -> None:
        status = run.process.returncode
        if run.process.stdin is not None:
            run.process.stdin.close()
        if status in _FINAL_STATUSES:
            self._status = status
            self._stopping.set()
            return
        now, pause = time.monotonic(), run.pause_seconds
        is_late = now - run.began_at >= _LONG_LIFE_SECONDS
        if is_late:
            pause = _RESTART_SECONDS
        log.warning(
            "%s ended with status %s; it is started again in %.0f s", command[-2], status, pause
        )
        run.again_at = now + pause
        run.pause_seconds = pause if is_late else min(2 * pause, _LONGEST_PAUSE_SECONDS)


def child_command(verb: str) -> list[str]:
    """The command that runs one of our verbs as a child of `Children`."""
    return [sys.executable, "-m", "staging_api", verb, "--with-parent"]
