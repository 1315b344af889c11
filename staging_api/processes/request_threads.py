"""Thread pool that answers requests: a limited number works at once, waiting requests excluded.

A running request occupies one of `most` places. A request that only waits, for a lock, for another
request's work or for its own client, gives its place to another request for that time (`parked`)
and takes one again before it goes on. So parked requests cost the memory of a thread, and never
keep other requests from being answered.

What if no thread can be started? The threads for all places exist from the beginning. A request
that would park while no further thread can be started keeps its place: fewer requests run, none is
lost.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue

log = logging.getLogger(__name__)

Job = Callable[[], None]

# Idle threads that are kept, so that short waits do not start and end a thread each.
_SPARE = 8


class RequestThreads:
    """A pool of threads, of which a bounded number work at the same time."""

    def __init__(self, most: int, most_parked: int) -> None:
        """Start no thread yet: a process may fork first.

        Args:
            most: limit of jobs that run at once.
            most_parked: limit of jobs that are parked at once; a further job keeps its place.
        """
        self.most = most
        self._most_parked = most_parked
        self._jobs: deque[Job] = deque()
        # The queue at which each idle thread waits for a job; None ends the thread. A condition
        # would take the interpreter three times per wait, a queue takes it once. The thread that
        # became idle last gets the next job, because its data are still in the caches of its
        # processor.
        self._idle: list[SimpleQueue[Job | None]] = []
        mutex = threading.Lock()
        self._mutex = mutex
        self._place_free = threading.Condition(mutex)
        # Threads that are not parked; of these, threads with a job; parked threads that wait for a
        # place.
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
        """The number of jobs that have a place now."""
        return self._running

    @property
    def waiting(self) -> int:
        """The number of jobs that are parked or wait for a place."""
        return self._parked + len(self._jobs)

    def submit(self, job: Job) -> None:
        """Run `job` as soon as there is a place, in order of arrival."""
        self.add(job)
        self.hand_out()

    def add(self, job: Job) -> None:
        """Queue `job` for the next thread that ends another one, or for `hand_out`."""
        self._jobs.append(job)

    def hand_out(self) -> None:
        """Give queued jobs to idle threads, as far as places are free.

        Call this once after several `add`, just before the calling thread waits: a thread that is
        woken earlier would find the interpreter in use, and wait again.
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
        # Not under the mutex: on a busy machine, starting a thread takes long.
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
        """Return a job, and whether the thread ends; without either, it waits at `handed`."""
        if self._jobs and self._has_place():
            self._running += 1
            return self._jobs.popleft(), False
        if self._is_spare():
            self._present -= 1
            return None, True
        self._idle.append(handed)
        return None, False

    def _fill_places(self) -> None:
        """Let parked jobs resume, and idle threads begin queued jobs, while places are free.

        Parked jobs resume first: each holds a lock for which others wait.
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
