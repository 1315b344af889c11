"""Do several things at once, in threads, and end with the first failure."""

import contextvars
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed


def run_side_by_side(jobs: Sequence[Callable[[], None]], abreast: int) -> None:
    """Run all jobs, at most `abreast` of them at once, begun in their order.

    When one fails no further one is begun; those that run end first, and then it is raised.
    """
    if len(jobs) == 1:
        jobs[0]()
    if len(jobs) <= 1:
        return
    failed = threading.Event()

    def run(job: Callable[[], None]) -> None:
        if failed.is_set():
            return
        try:
            job()
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(abreast, "artifact") as pool:
        # Log lines of a job say of which request it is, as those of its caller do.
        running = [pool.submit(contextvars.copy_context().run, run, job) for job in jobs]
        for each in as_completed(running):
            each.result()
