"""Threads that live as long as their process, and are restarted if they end.

What if a thread dies, or cannot be started because the machine lacks resources at that moment? A
thread whose function raises runs the function again. The next caller that needs a missing thread
starts it, before anything depends on the thread; until then `BackgroundThread.check` reports the
missing thread, and ``/livez`` fails.
"""

import logging
import threading
import time
from collections.abc import Callable

from staging_api.errors import Unavailable

log = logging.getLogger(__name__)

_AGAIN_SECONDS = 1.0


class BackgroundThread:
    """A daemon thread; runs from the first `ensure` until its function returns."""

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        """Start no thread yet: a process may fork before it needs the thread.

        Args:
            name: name of the thread, for logs and debuggers.
            run: function that returns when the thread should end, and only then.
        """
        self._name = name
        self._run = run
        self._mutex = threading.Lock()
        self._thread: threading.Thread | None = None
        self._needed = False
        self._ended = False

    def ensure(self) -> None:
        """Start the thread unless it runs.

        Raises:
            Unavailable: this process cannot start a thread at the moment.
        """
        thread = self._thread
        if thread is not None and thread.is_alive():
            return
        with self._mutex:
            if self._thread is not None and self._thread.is_alive():
                return
            self._needed = True
            thread = threading.Thread(target=self._live, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                log.error("the thread %s cannot be started: %s", self._name, error)  # noqa: TRY400
                raise Unavailable(
                    "this process can start no thread just now", retry_after_seconds=2
                ) from error
            self._thread = thread

    def check(self) -> None:
        """Check that the thread runs if it is needed.

        Raises:
            Unavailable: the thread does not run; the message names it.
        """
        # Under the mutex: a thread that another caller starts at this moment is not missing.
        with self._mutex:
            alive = self._thread is not None and self._thread.is_alive()
            missing = self._needed and not (alive or self._ended)
        if missing:
            raise Unavailable(f"the thread {self._name} does not run", retry_after_seconds=2)

    def join(self) -> None:
        """Wait for the thread to end, if it was ever started."""
        if self._thread is not None:
            self._thread.join()

    def _live(self) -> None:
        while not self._ended:
            try:
                self._run()
                self._ended = True
            except Exception:
                log.exception("the thread %s failed, and begins again", self._name)
                time.sleep(_AGAIN_SECONDS)
