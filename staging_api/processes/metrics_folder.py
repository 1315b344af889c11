"""The folder in which the processes of one service share their metrics.

What if a process dies? prometheus_client keeps each process's counts in a file of the folder, so
the others still show them. The folder is removed when the process that made it ends. If that
process was killed, its children keep the folder's lock, which they inherited, until they end as
well; then the next service that this user starts on the machine removes the folder.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from staging_api.errors import Invalid

_PREFIX = "staging-metrics-"
# Not read as metrics: prometheus_client reads *.db.
_LOCK = "lock"
# A folder is made before it is locked; until this age, another process must not take it for
# abandoned.
_YOUNG_SECONDS = 60.0


def temporary_folder() -> Path:
    """Return the machine's folder for temporary files, which gunicorn needs as well.

    Raises:
        Invalid: no folder accepts files, as on a read-only or full disk.
    """
    try:
        return Path(tempfile.gettempdir())
    except FileNotFoundError as error:
        raise Invalid.field(
            "TMPDIR",
            f"must name a folder that takes temporary files, on a disk with room: {error.strerror}",
        ) from None


@contextmanager
def metrics_folder() -> Iterator[str]:
    """Yield a new folder and remove it afterwards; first remove abandoned ones.

    Raises:
        Invalid: no folder accepts temporary files.
    """
    root = temporary_folder()
    _sweep(root)
    with (
        tempfile.TemporaryDirectory(prefix=_PREFIX, dir=root) as folder,
        Path(folder, _LOCK).open("xb") as lock,
    ):
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def _sweep(root: Path) -> None:
    # Best effort: two services that start at once may sweep the same folder.
    with suppress(OSError):
        for folder in root.glob(f"{_PREFIX}*"):
            with suppress(OSError):
                if _is_ours(folder) and _is_abandoned(folder):
                    shutil.rmtree(folder)


def _is_ours(folder: Path) -> bool:
    """Return whether this user made the folder, over a minute ago.

    The temporary folder is shared: other users may put anything there, also links.
    """
    status = folder.lstat()
    made_before = time.time() - _YOUNG_SECONDS
    return status.st_uid == os.geteuid() and status.st_mtime < made_before and folder.is_dir()


def _is_abandoned(folder: Path) -> bool:
    """Return whether no process holds the folder's lock.

    Raises:
        FileNotFoundError: the folder has no lock. An old version made it, and may still be running.
    """
    with (folder / _LOCK).open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
