"""Child processes that are kept running: `serve` runs the API and a worker as children.

The children are forks of a process that has imported all their modules: so they start at once, and
share the memory of these modules. A fork copies no thread, and two processes must not share a
connection: this process has neither when it forks, and `Children` creates none.

What if this process dies, by any signal? The kernel sends its children SIGTERM. What if a child
dies? It is forked again.
"""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.context import ForkProcess

from staging_api.processes.signals import stop_signals, stop_when_parent_dies

log = logging.getLogger(__name__)

_RESTART_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
# A child that lived this long did not fail to start.
_LONG_LIFE_SECONDS = 30.0
_LOOK_SECONDS = 0.2
#: Exit status of a process that cannot work with its settings, and of one whose address another
#: program uses; see ``cli/exits.py``.
REFUSED_STATUS, TAKEN_STATUS = 4, 9
_FINAL_STATUSES = frozenset({REFUSED_STATUS, TAKEN_STATUS})


@dataclass
class Children:
    """Functions that run in child processes, which are started again whenever they end.

    A child that cannot work with its configuration would end each time: then all children end, and
    this process ends with the same status. A child that ends soon after its start for another
    reason is started again after a pause, which grows each time.

    Attributes:
        functions: function to run in each child, by the child's name; an exception ends the child,
            a `SystemExit` with its status.
    """

    functions: Mapping[str, Callable[[], None]]
    _runs: "dict[str, _ChildRun]" = field(default_factory=dict)
    _stopping: threading.Event = field(default_factory=threading.Event)
    _status: int = 0

    def run(self) -> None:
        """Run the children until a stop signal, then stop all of them and wait for their end.

        Raises:
            SystemExit: a child cannot work; with its status.
        """
        # This thread polls for signals: a second thread waiting for them would exist during a fork.
        stop = stop_signals()
        unblocked = signal.pthread_sigmask(signal.SIG_BLOCK, stop)
        try:
            while not self._stopping.is_set():
                for name in self.functions:
                    self._keep(name, unblocked)
                if signal.sigtimedwait(stop, _LOOK_SECONDS):
                    self._stopping.set()
        finally:
            for run in self._runs.values():
                run.process.terminate()
            for run in self._runs.values():
                run.process.join()
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
        if self._status:
            raise SystemExit(self._status)

    def _keep(self, name: str, unblocked: set[signal.Signals | int]) -> None:
        run = self._runs.get(name)
        if run is None:
            self._start(name, unblocked, _RESTART_SECONDS)
        elif run.again_at is not None:
            if time.monotonic() >= run.again_at:
                self._start(name, unblocked, run.pause_seconds)
        elif not run.process.is_alive():
            self._note_end(name, run)

    def _start(self, name: str, unblocked: set[signal.Signals | int], pause_seconds: float) -> None:
        parent, function = os.getpid(), self.functions[name]

        def live() -> None:
            signal.pthread_sigmask(signal.SIG_SETMASK, unblocked)
            stop_when_parent_dies(parent)
            function()

        process = get_context("fork").Process(target=live, name=name)
        process.start()
        self._runs[name] = _ChildRun(process, time.monotonic(), pause_seconds)

    def _note_end(self, name: str, run: "_ChildRun") -> None:
        status = run.process.exitcode
        if status in _FINAL_STATUSES:
            self._status = int(status)
            self._stopping.set()
            return
        now, pause = time.monotonic(), run.pause_seconds
        is_late = now - run.began_at >= _LONG_LIFE_SECONDS
        if is_late:
            pause = _RESTART_SECONDS
        log.warning("%s ended with status %s; it is started again in %.0f s", name, status, pause)
        run.again_at = now + pause
        run.pause_seconds = pause if is_late else min(2 * pause, _LONGEST_PAUSE_SECONDS)


@dataclass
class _ChildRun:
    """One run of a child, and the time of the next run once it has ended."""

    process: ForkProcess
    began_at: float
    pause_seconds: float
    again_at: float | None = None
