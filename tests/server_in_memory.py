"""The embedded PostgreSQL of a run of tests: its data in memory, made once for all processes.

A database that a test has for itself is a thousand files, which a folder in memory takes in a tenth
of the time. Nothing is proved less: these servers force nothing to the disk anyway.
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
#: Of it and of the machine, for the servers of all processes of a run; containers often have less.
_ROOM_BYTES = 6 << 30
_STOP_SECONDS = 60.0


@contextmanager
def place(memory: Path = MEMORY, room_bytes: int = _ROOM_BYTES) -> Iterator[Path]:
    """A folder for the block: in memory where there is so much room, else where folders are.

    What a killed process left there goes with the next one.
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
    """The URL of a server for the block, that no other process uses, and on which `make` was done.

    Args:
        home: of the server.
        made_in: a folder of all processes of the run: the first makes the data there, and each has
            a copy. None: this one is the only one.
        make: what to do once with the URL of a server.
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
    # With the owner, which may be another than the one of this process.
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
    """How many bytes may go there: so much is free, and is not taken from other programs."""
    try:
        found = os.statvfs(memory)
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return 0
    available = next((each for each in lines if each.startswith("MemAvailable:")), ": 0")
    return min(found.f_bavail * found.f_frsize, int(available.split()[1]) << 10)
