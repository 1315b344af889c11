"""Stage the artifacts of one staging side by side, as far as none needs an object of another.

Artifacts with an object in common stay in one group and follow one another, so no object is fetched
twice. The thread of the job works on one group; it gets further threads as far as helpers are free.
The helpers are those of the process, so they bound its memory, connections and temporary files,
however many jobs it runs.

What if the process dies? Several artifacts are ``staging`` then, instead of one: each is resumed
as before (see `service`).
"""

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Sequence
from contextvars import copy_context
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")

#: Number of artifacts that a process stages in addition to one for each of its jobs.
HELPERS = 2


def by_objects(artifacts: Iterable[tuple[T, Collection[str]]]) -> list[list[T]]:
    """Group artifacts that have an object in common, directly or through others; keep their order.

    Args:
        artifacts: each with the names of its objects.
    """
    pairs = list(artifacts)
    leaders = list(range(len(pairs)))

    def leader(index: int) -> int:
        while leaders[index] != index:
            index = leaders[index]
        return index

    first: dict[str, int] = {}
    for index, (_, objects) in enumerate(pairs):
        for name in objects:
            low, high = sorted((leader(index), leader(first.setdefault(name, index))))
            leaders[high] = low
    groups = defaultdict[int, list[T]](list)
    for index, (artifact, _) in enumerate(pairs):
        groups[leader(index)].append(artifact)
    return list(groups.values())


def side_by_side(
    groups: Sequence[Sequence[T]], stage: Callable[[T], None], helpers: threading.Semaphore
) -> list[BaseException]:
    """Stage each artifact: those of a group in order, groups in parallel as far as helpers allow.

    After an exception no further artifact begins. The function returns when none is worked on.

    Args:
        groups: the groups, in the order in which they begin.
        stage: stages one artifact; called by several threads.
        helpers: its permits are the threads that this process may add.

    Returns:
        The exceptions, in the order in which they were raised.
    """
    queue = _GroupQueue(groups, stage)
    threads = list[threading.Thread]()
    while len(threads) + 1 < len(groups) and helpers.acquire(blocking=False):
        run, work = copy_context().run, partial(queue.work_by_permit, helpers)
        # A daemon, as in `prefetch`: a silent source must not keep the process alive.
        thread = threading.Thread(target=run, args=(work,), name="artifact", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no thread to spare
            helpers.release()
            break
        threads.append(thread)
    queue.work()
    for thread in threads:
        thread.join()
    return queue.errors


class _GroupQueue(Generic[T]):
    """The groups that no thread has begun, and the exceptions so far."""

    def __init__(self, groups: Sequence[Sequence[T]], stage: Callable[[T], None]) -> None:
        self._waiting = deque(groups)
        self._stage = stage
        self.errors: list[BaseException] = []

    def work(self) -> None:
        """Stage groups until none waits, or an artifact raises."""
        while self._waiting and not self.errors:
            try:
                group = self._waiting.popleft()
            except IndexError:  # another thread took it
                return
            try:
                for artifact in group:
                    if not self.errors:
                        self._stage(artifact)
            except BaseException as error:  # noqa: BLE001 - returned
                self.errors.append(error)

    def work_by_permit(self, helpers: threading.Semaphore) -> None:
        try:
            self.work()
        finally:
            helpers.release()
