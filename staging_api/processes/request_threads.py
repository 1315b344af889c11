"""The threads that answer requests: so many work at once, and those that wait are not counted.

A thread that runs a request has a place, of which there are `most`. A request that only waits, for
a lock, for another's work or for its own client, gives its place to another request for that time
(`parked`) and takes one again before it goes on. So parked requests cost a thread's memory, and
never keep the others from being answered.

What if no thread can be started? Those for the places exist from the beginning. A request that
would park, and for which no other thread can be started, keeps its place: fewer run, none is lost.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

# Threads without work that are kept, so that short waits do not start and end one each.
_SPARE = 8


class RequestThreads:
    """A pool of threads, of which a bounded number work at the same time."""

    def __init__(self, most: int, most_parked: int) -> None:
        """Start no thread yet: a process may fork first.

        Args:
            most: jobs that run at once.
            most_parked: jobs that may be parked besides; one more keeps its place.
        """
        self.most = most
        self._most_parked = most_parked
        self._jobs: deque[Callable[[], None]] = deque()
        mutex = threading.Lock()
        self._mutex = mutex
        self._job_ready = threading.Condition(mutex)
        self._place_free = threading.Condition(mutex)
        # Threads that are not parked; of those, the ones that run a job, or want to again.
        self._present = self._running = self._returning = 0
        self._parked = 0

    def start(self) -> None:
        """Start a thread for each place.

        Raises:
            RuntimeError: the system gives no more threads.
        """
        for _ in range(self.most):
            self._present += 1
            self._start_thread()

    @property
    def running(self) -> int:
        """Jobs that have a place now."""
        return self._running

    @property
    def waiting(self) -> int:
        """Jobs that are parked, and those that wait for a place."""
        return self._parked + len(self._jobs)

    def submit(self, job: Callable[[], None]) -> None:
        """Run `job` as soon as there is a place, in order of arrival."""
        with self._mutex:
            self._jobs.append(job)
            self._wake_one()

    @contextmanager
    def parked(self) -> Iterator[None]:
        """Give the place of the calling job to another one while the block waits."""
        parks = self._leave_place()
        try:
            yield
        finally:
            if parks:
                self._take_place()

    def _leave_place(self) -> bool:
        with self._mutex:
            if self._parked >= self._most_parked:
                return False
            self._parked += 1
            lacks_thread = self._present <= self.most
            self._present += lacks_thread
        # Not under the mutex: on a busy machine it takes long until a thread has started.
        if lacks_thread and not self._start_thread_if_possible():
            return False
        with self._mutex:
            self._present -= 1
            self._running -= 1
            self._wake_one()
        return True

    def _start_thread_if_possible(self) -> bool:
        try:
            self._start_thread()
        except RuntimeError as error:
            log.warning("a request waits in its place: %s", error)
            with self._mutex:
                self._present -= 1
                self._parked -= 1
            return False
        return True

    def _take_place(self) -> None:
        with self._mutex:
            self._present += 1
            self._returning += 1
            while self._running >= self.most:
                self._place_free.wait()
            self._returning -= 1
            self._running += 1
            self._parked -= 1
            self._wake_one()
            if self._is_spare():
                self._job_ready.notify()  # and finds that it can end

    def _start_thread(self) -> None:
        threading.Thread(target=self._run, name="request", daemon=True).start()

    def _run(self) -> None:
        with self._mutex:
            while True:
                # A request that returns from a wait goes first: it has a lock that others wait for.
                while not self._jobs or self._running + self._returning >= self.most:
                    if self._is_spare():
                        self._present -= 1
                        return
                    self._job_ready.wait()
                job = self._jobs.popleft()
                self._running += 1
                self._mutex.release()
                try:
                    job()
                except BaseException:
                    log.exception("a request ended its thread's work")
                finally:
                    self._mutex.acquire()
                    self._running -= 1
                    self._wake_one()

    def _wake_one(self) -> None:
        """Let a job that comes back go on, and a new one begin, if there is a place for it."""
        if self._returning:
            self._place_free.notify()
        if self._jobs and self._running + self._returning < self.most:
            self._job_ready.notify()

    def _is_spare(self) -> bool:
        return self._present > self.most + _SPARE
