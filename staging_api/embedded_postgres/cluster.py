"""One PostgreSQL data folder: created atomically, started and stopped.

What if the process dies? While the folder is created: everything happens in ``18.new``, which no
start uses; the folder is renamed to ``18`` once the database is in it and on the disk. While the
server runs or stops: PostgreSQL recovers by itself at the next start. The kernel signals each
program started here when this process is gone: initdb is killed, the server shuts down.
"""

import ctypes
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from staging_api.embedded_postgres.errors import EmbeddedPostgresError

PORT = 5432  # part of the socket file's name; nothing listens on TCP

_START_SECONDS = 120.0
_STOP_SECONDS = 60.0
_POLL_SECONDS = 0.005
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)

# The server must not inherit variables of the caller: PGDATA, PGOPTIONS, LC_ALL.
_ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# Passed on the command line, so that a change here applies to existing data folders.
_SETTINGS = {
    "listen_addresses": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "jit": "off",
}
# With these, a commit survives the death of every process, but not of the machine.
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}

# Access is controlled only by the folder of the socket, which only its owner may enter.
_HBA = "local all all trust\n"

# The built-in provider sorts the same with every C library, so the folder can move.
_LOCALE = ("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8")


@dataclass(frozen=True)
class Programs:
    """The programs of one version, and the options of their runs.

    Attributes:
        binaries: the folder of ``postgres`` and ``initdb``.
        lock: descriptor of a locked file that each program inherits, so that it keeps the lock.
        durable: whether data is forced to the disk.
        database: the name of the database, and of its superuser.
    """

    binaries: Path
    lock: int
    durable: bool
    database: str


def data_folder(programs: Programs, parent: Path) -> Path:
    """Return the data folder of this major version, creating it below `parent` if there is none.

    Raises:
        EmbeddedPostgresError: the data was made by another major version, or initdb failed.
    """
    major = _major(programs)
    data = parent / major
    if data.exists():
        return data
    others = sorted(path.name for path in parent.glob("*") if path.name.isdigit())
    if others:
        raise EmbeddedPostgresError(
            f"the data in {parent} was made by PostgreSQL {', '.join(others)}, and the programs in"
            f" {programs.binaries} are version {major}: use programs of that version, or dump"
            " the data with them and move the old folder away"
        )
    _create(programs, data)
    return data


def start(programs: Programs, data: Path, sockets: Path) -> subprocess.Popen[bytes]:
    """Start the server and wait until it accepts connections.

    The caller must be sure that no other server uses the data: a ``postmaster.pid`` is removed.

    Raises:
        EmbeddedPostgresError: the server ended, or was not ready within two minutes.
    """
    state = data / "postmaster.pid"
    # PostgreSQL would refuse to start if the pid in this file now belonged to another process.
    state.unlink(missing_ok=True)
    settings = _SETTINGS | ({} if programs.durable else _NOT_DURABLE)
    settings |= {"unix_socket_directories": str(sockets), "port": str(PORT)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    server = subprocess.Popen(
        [programs.binaries / "postgres", "-D", data, *options],
        env=_ENVIRONMENT,
        pass_fds=[programs.lock],
        preexec_fn=_signal_on_parent_death(signal.SIGINT),  # noqa: PLW1509 - no threads here
    )
    deadline = time.monotonic() + _START_SECONDS
    while not _is_ready(state):
        if server.poll() is not None:
            raise EmbeddedPostgresError(f"postgres ended at once, with status {server.returncode}")
        if time.monotonic() > deadline:
            stop(server)
            raise EmbeddedPostgresError(f"postgres was not ready after {_START_SECONDS:g} s")
        time.sleep(_POLL_SECONDS)
    return server


def stop(server: subprocess.Popen[bytes]) -> None:
    """Shut the server down: open transactions are rolled back, committed data is written."""
    for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        server.send_signal(request)
        with suppress(subprocess.TimeoutExpired):
            server.wait(_STOP_SECONDS)
            return


def _create(programs: Programs, data: Path) -> None:
    fresh = data.with_name(data.name + ".new")
    if fresh.exists():
        shutil.rmtree(fresh)
    data.parent.mkdir(mode=0o700, exist_ok=True)
    initdb, postgres = programs.binaries / "initdb", programs.binaries / "postgres"
    quiet = ("--no-sync", "--no-instructions", f"--username={programs.database}", "--auth=trust")
    _run(programs, [initdb, "-D", fresh, *quiet, *_LOCALE])
    alone = ("--single", "-F", "-c", "exit_on_error=on")
    creation = f"CREATE DATABASE {programs.database}\n"
    _run(programs, [postgres, *alone, "-D", fresh, "postgres"], creation)
    (fresh / "pg_hba.conf").write_text(_HBA)
    if programs.durable:
        _run(programs, [initdb, "--sync-only", "-D", fresh])
    fresh.rename(data)
    if programs.durable:
        _sync_folder(data.parent)


def _major(programs: Programs) -> str:
    words = _run(programs, [programs.binaries / "postgres", "--version"]).split()
    return words[2].partition(".")[0]


def _run(programs: Programs, command: list[Path | str], text: str = "") -> str:
    """Run one program to its end, and return its output; its errors go to the log."""
    done = subprocess.run(
        command,
        input=text,
        stdout=subprocess.PIPE,
        text=True,
        env=_ENVIRONMENT,
        pass_fds=[programs.lock],
        preexec_fn=_signal_on_parent_death(signal.SIGKILL),
        check=False,
    )
    if done.returncode:
        raise EmbeddedPostgresError(f"{command[0]} ended with status {done.returncode}")
    return done.stdout


def _signal_on_parent_death(request: signal.Signals) -> Callable[[], None]:
    """Return a function that, in a child, has the kernel signal it when its parent dies."""
    parent = os.getpid()

    def ask() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(request))
        if os.getppid() != parent:  # the parent died before the call
            os.kill(os.getpid(), signal.SIGKILL)

    return ask


def _is_ready(state: Path) -> bool:
    """Return whether the last line of ``postmaster.pid`` says "ready", the check of pg_ctl."""
    with suppress(FileNotFoundError):
        return state.read_text().rstrip().endswith("ready")
    return False


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
