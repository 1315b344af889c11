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
from queue import SimpleQueue

log = logging.getLogger(__name__)

Job = Callable[[], None]

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
        self._jobs: deque[Job] = deque()
        # Where each idle thread waits for a job; None: it can end. To wait for a condition takes
        # the interpreter three times where this takes it once. The thread that became idle last
        # gets the next job: what it works with is still in the caches of its processor.
        self._idle: list[SimpleQueue[Job | None]] = []
        mutex = threading.Lock()
        self._mutex = mutex
        self._place_free = threading.Condition(mutex)
        # Threads that are not parked; of those, the ones that have a job, or want to go on with it.
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

    def submit(self, job: Job) -> None:
        """Run `job` as soon as there is a place, in order of arrival."""
        self.add(job)
        self.hand_out()

    def add(self, job: Job) -> None:
        """Leave `job` to a thread that ends another one, or to `hand_out`."""
        self._jobs.append(job)

    def hand_out(self) -> None:
        """Give the jobs that were added to idle threads, as far as there are places.

        Call this once after several were added, just before the calling thread waits: a thread that
        is woken earlier would find the interpreter taken, and have to wait again.
        """
        with self._mutex:
            self._fill_places()

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
            self._fill_places()
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
            if self._idle and self._is_spare():
                self._present -= 1
                self._idle.pop(0).put(None)

    def _start_thread(self) -> None:
        threading.Thread(target=self._run, name="request", daemon=True).start()

    def _run(self) -> None:
        handed: SimpleQueue[Job | None] = SimpleQueue()
        with self._mutex:
            job, ends = self._next(handed)
        while not ends:
            if job is None:
                job = handed.get()
                if job is None:
                    return
            try:
                job()
            except BaseException:
                log.exception("a request ended its thread's work")
            with self._mutex:
                self._running -= 1
                job, ends = self._next(handed)
                self._fill_places()

    def _next(self, handed: "SimpleQueue[Job | None]") -> tuple[Job | None, bool]:
        """Return a job for a thread without one; else whether it ends, or waits at `handed`."""
        if self._jobs and self._has_place():
            self._running += 1
            return self._jobs.popleft(), False
        if self._is_spare():
            self._present -= 1
            return None, True
        self._idle.append(handed)
        return None, False

    def _fill_places(self) -> None:
        """Let jobs that come back go on, and idle threads begin new ones, while there are places.

        Those go first: each has a lock that others wait for.
        """
        if self._returning:
            self._place_free.notify()
        while self._jobs and self._idle and self._has_place():
            self._running += 1
            self._idle.pop().put(self._jobs.popleft())

    def _has_place(self) -> bool:
        return self._running + self._returning < self.most

    def _is_spare(self) -> bool:
        return self._present > self.most + _SPARE
