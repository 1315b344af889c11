"""Moments in which the system refuses a process what it needs: a thread, a descriptor, memory.

Such a moment passes. So it is no verdict on what was being done, which is tried again.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

from staging_api.errors import Unavailable

# As Python says that the system gives no more threads.
_NO_THREAD = "can't start new thread"
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})


def is_exhaustion(error: BaseException) -> bool:
    """Whether an error says that the process lacked a thread, a descriptor or memory."""
    if isinstance(error, OSError):
        return error.errno in _SCARCE
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_THREAD in str(error)
    )


@contextmanager
def startup_errors() -> Iterator[None]:
    """Turn what the system refuses in the block, while a process starts, into one line.

    Raises:
        Unavailable: what is scarce, no room on a disk, or no permission.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if not (isinstance(error, OSError) or is_exhaustion(error)):
            raise
        raise Unavailable(f"this process cannot start: {error}") from error
