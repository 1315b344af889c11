"""Recognise resource exhaustion: the system lacks threads, descriptors or memory.

The condition is temporary and says nothing about the work, which is retried.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import gettempdir

from staging_api.disk_room import full_disk, is_full
from staging_api.errors import Unavailable

# CPython's message when the system cannot start another thread.
_NO_THREAD = "can't start new thread"
# EAGAIN: the kernel refuses a further thread or process, by a limit of the user or the cgroup.
_SCARCE = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN})


def is_exhaustion(error: BaseException) -> bool:
    """Return whether an error means that the process lacked a thread, a descriptor or memory."""
    if isinstance(error, OSError):
        return error.errno in _SCARCE
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _NO_THREAD in str(error)
    )


def named_lack(error: BaseException) -> Unavailable | None:
    """Return the error that names the exhausted resource; None if the fault is another one."""
    if isinstance(error, OSError) and is_full(error):
        # Errors of a write do not name its file; most such files are temporary ones.
        return Unavailable(full_disk(error.filename or gettempdir(), error), retry_after_seconds=10)
    if is_exhaustion(error):
        return Unavailable(
            "this process is short of a thread, a file descriptor or memory", retry_after_seconds=2
        )
    return None


@contextmanager
def startup_errors() -> Iterator[None]:
    """Turn a refusal by the system during start into an error of one line.

    Raises:
        Unavailable: names the exhausted resource, the full disk, or the missing permission.
    """
    try:
        yield
    except (OSError, MemoryError, RuntimeError) as error:
        if not (isinstance(error, OSError) or is_exhaustion(error)):
            raise
        raise Unavailable(f"this process cannot start: {error}") from error
