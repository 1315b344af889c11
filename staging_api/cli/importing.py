"""Import what a process of the service is made of, without looking for garbage meanwhile."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_collection() -> Iterator[None]:
    """Import modules in this block in two thirds of the time.

    They live as long as the process. Each pass of the collector would look through all of them, and
    find nothing; later passes leave them out, too, which keeps their pages shared between a parent
    and the processes that it forks.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
