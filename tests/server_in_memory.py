"""Embedded PostgreSQL of a test run: its data in memory, created once for all processes.

A database for a single test consists of a thousand files; a folder in memory takes them ten times
faster. The tests prove no less: these servers never force data to the disk.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from staging_api.db.embedded import running
from staging_api.embedded_postgres.files import ServerFiles, lock_file, lock_file_within

MEMORY = Path("/dev/shm")
#: Space that must be free in the folder and in the machine's memory, for all servers of a run.
_ROOM_BYTES = 6 << 30
_STOP_SECONDS = 60.0


@contextmanager
def place(memory: Path = MEMORY, room_bytes: int = _ROOM_BYTES) -> Iterator[Path]:
    """Yield a folder: in memory if there is enough space, else in the usual temporary folder.

    The next run removes the folders of killed processes.
    """
    if _room(memory) < room_bytes:
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield Path(folder)
        return
    ours = memory / f"staging-tests-{os.getuid()}"
    ours.mkdir(mode=0o700, exist_ok=True)
    with _locked(ours):
        _remove_abandoned(ours)
        folder = tempfile.mkdtemp(dir=ours)
        used = os.open(folder, os.O_RDONLY)
        fcntl.flock(used, fcntl.LOCK_EX)
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(used)


@contextmanager
def started(home: Path, made_in: Path | None, make: Callable[[str], None]) -> Iterator[str]:
    """Yield the URL of a server that no other process uses, after `make` was applied to it.

    Args:
        home: home directory of the server.
        made_in: a folder shared by all processes of the run: the first creates the data there, and
            every process copies them. None: there is only one process.
        make: one-time preparation, called with the URL of a server.
    """
    if made_in is not None:
        _copy(_made(made_in, make), home)
    with _stopped_after(home) as url:
        if made_in is None:
            make(url)
        yield url


def _made(folder: Path, make: Callable[[str], None]) -> Path:
    whole = folder / "postgres"
    with _locked(folder):
        if not whole.exists():
            fresh = Path(tempfile.mkdtemp(dir=folder))
            with _stopped_after(fresh) as url:
                make(url)
            fresh.rename(whole)
    return whole


def _copy(made: Path, home: Path) -> None:
    # Copied with the owner, which may differ from the user of this process.
    subprocess.run(["cp", "-a", f"{made}/.", str(home)], check=True)


@contextmanager
def _stopped_after(home: Path) -> Iterator[str]:
    with running(home, durable=False) as server:
        yield server.url
    with suppress(TimeoutError):
        lock = ServerFiles(home / "postgresql").server_lock
        os.close(lock_file_within(lock, _STOP_SECONDS))


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    lock = lock_file(folder / "lock", fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(lock)


def _remove_abandoned(folder: Path) -> None:
    for each in filter(Path.is_dir, folder.iterdir()):
        used = os.open(each, os.O_RDONLY)
        try:
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(each, ignore_errors=True)
        except BlockingIOError:
            continue
        finally:
            os.close(used)


def _room(memory: Path) -> int:
    """Return how many bytes may be used there: what is free without harm to other programs."""
    try:
        found = os.statvfs(memory)
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    available = next((each for each in lines if each.startswith("MemAvailable:")), ": 0")
    return min(found.f_bavail * found.f_frsize, int(available.split()[1]) << 10)
