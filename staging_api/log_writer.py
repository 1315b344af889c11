"""Write log lines in a separate thread, those of a short interval by one system call.

The thread that logs formats the line, so that it has that thread's ids, and queues it. Another
thread writes the queue at most `_LATE_SECONDS` later, in the order of the lines. A warning or an
error is written at once, with all lines before it. The queue is bounded: a thread that finds it
full writes it, and blocks if the stream does; so no line is lost.

What if the process dies? If it ends regularly, by an exception or by a signal that Python handles,
it writes the queue. If it is killed (SIGKILL, out of memory), it loses the lines of the last
`_LATE_SECONDS`, at most `_MOST_LINES` lines; none of them is an error. A forked child has an empty
queue and no thread; its lines are written one by one until it starts its own thread.
"""

import logging
import os
import threading
import time
from collections import deque
from contextlib import suppress
from typing import TextIO

from staging_api.background import BackgroundThread
from staging_api.errors import Unavailable

_LATE_SECONDS = 0.05
_MOST_LINES = 1000


class LineWriter(logging.Handler):
    """Log handler that writes lines one by one, and from `start` on in batches."""

    _thread: BackgroundThread | None
    _will_be_written: bool
    _is_writing: bool
    _more: bool

    def __init__(self, stream: TextIO) -> None:
        """Start no thread yet: a process may fork first."""
        super().__init__()
        self._stream = stream
        self._begin()
        os.register_at_fork(after_in_child=self._begin)

    def createLock(self) -> None:  # noqa: N802 - of the standard library
        """Create no lock: each line is queued atomically, and written under another lock."""
        self.lock = None

    def handle(self, record: logging.LogRecord) -> bool:
        """Write or queue the line of a record that no filter refuses, without the lock.

        Python 3.13 acquires the lock even if it is None.
        """
        kept = self.filter(record)
        if kept:
            self.emit(kept if isinstance(kept, logging.LogRecord) else record)
        return bool(kept)

    def start(self) -> None:
        """Queue lines from now on; if no thread can be started, they are written one by one."""
        thread = BackgroundThread("log-lines", self._run)
        with suppress(Unavailable):
            thread.ensure()
            self._thread = thread

    def emit(self, record: logging.LogRecord) -> None:
        """Write or queue the line of a record."""
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001 - as every handler of the standard library does
            self.handleError(record)
            return
        self.add(line, urgent=record.levelno >= logging.WARNING)

    def add(self, line: str, *, urgent: bool = False) -> None:
        """Write or queue a line; if `urgent`, it has been written when this returns."""
        self._lines.append(line)
        if urgent or self._thread is None or len(self._lines) >= _MOST_LINES:
            self.flush()
        elif not self._will_be_written:
            self._will_be_written = True
            self._queued.set()

    def flush(self) -> None:
        """Write all queued lines.

        In a signal handler that interrupted a write of its own thread, this only marks the lines
        for that write: neither the queue nor the stream is reentrant.
        """
        with self._writing:
            self._more = True
            if self._is_writing:
                return
            while self._more:
                self._more = False
                self._is_writing = True
                try:
                    self._write()
                finally:
                    self._is_writing = False

    def _write(self) -> None:
        lines = self._lines
        # Other threads may add lines meanwhile.
        text = "".join(f"{lines.popleft()}\n" for _ in range(len(lines)))
        if not text:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            return  # nobody reads the stream any more: the error cannot be reported

    def _begin(self) -> None:
        self._lines: deque[str] = deque()
        # Reentrant: a signal handler may log while its thread writes.
        self._writing = threading.RLock()
        self._is_writing = False
        self._more = False
        self._queued = threading.Event()
        self._will_be_written = False
        self._thread = None

    def _run(self) -> None:
        while True:
            self._queued.wait()
            time.sleep(_LATE_SECONDS)
            # In this order: a line that is queued from now on sets the event again.
            self._queued.clear()
            self._will_be_written = False
            self.flush()
