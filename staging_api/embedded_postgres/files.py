"""The files of the embedded PostgreSQL below a home, and the locks that show live processes.

``flock`` decides whether a process lives, never a pid in a file: the kernel drops a lock when the
last process that has its descriptor open is gone, however it ended. There are four locks, all in
``<home>/postgresql/locks``:

- ``users``: shared by every process that uses the server. The supervisor takes it exclusively,
which the kernel grants when the last user has gone, and keeps it while it stops the server, so that
a process that comes meanwhile waits, and then starts a new server.
- ``start``: held from the first check until the server accepts connections, first by the process
that starts the supervisor, then by the supervisor, which inherits the descriptor. If both die, the
lock is free, and the next process in line checks again.
- ``supervisor``: held by the supervisor alone, for its life.
- ``server``: held by the supervisor and inherited by initdb, PostgreSQL and all its backends. The
process that gets this lock may assume that no process of an older server touches the data any more,
and that a ``postmaster.pid`` found there is stale.

``flock`` locks follow descriptors only on a local file system: the home must not be on NFS.
"""

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

_POLL_SECONDS = 0.02


@dataclass(frozen=True)
class ServerFiles:
    """The paths of one embedded PostgreSQL.

    Attributes:
        base: the folder of all its files, ``<home>/postgresql``.
    """

    base: Path

    @property
    def users_lock(self) -> Path:
        """Locked by every user of the server."""
        return self.base / "locks" / "users"

    @property
    def start_lock(self) -> Path:
        """Locked while a process looks for the server, or starts it."""
        return self.base / "locks" / "start"

    @property
    def supervisor_lock(self) -> Path:
        """Locked while a supervisor lives."""
        return self.base / "locks" / "supervisor"

    @property
    def server_lock(self) -> Path:
        """Locked while any process may touch the data."""
        return self.base / "locks" / "server"

    @property
    def data(self) -> Path:
        """Folder of the data folders, one for each major version."""
        return self.base / "data"

    @property
    def server_info(self) -> Path:
        """Connection parameters of the running server, in JSON."""
        return self.base / "server.json"

    @property
    def log(self) -> Path:
        """Log of this server and its supervisor; ``server.log.1`` is that of the server before."""
        return self.base / "server.log"


def lock_file(path: Path, operation: int) -> int:
    """Wait for a lock on a file and return the descriptor that holds it.

    Args:
        path: the file; created if it does not exist.
        operation: ``fcntl.LOCK_SH`` or ``fcntl.LOCK_EX``, with ``LOCK_NB`` to not wait.

    Raises:
        BlockingIOError: ``LOCK_NB`` was given and another process has the lock.
    """
    # Python opens files close-on-exec: a program started by the holder never keeps the lock.
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, operation)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def lock_file_within(path: Path, seconds: float) -> int:
    """Acquire an exclusive lock and return its descriptor; give up after `seconds`.

    Raises:
        TimeoutError: another process still has the lock.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{path} was still locked after {seconds:g} s") from None
        time.sleep(_POLL_SECONDS)


def is_locked(path: Path) -> bool:
    """Return whether a living process holds this lock."""
    try:
        os.close(lock_file(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False
