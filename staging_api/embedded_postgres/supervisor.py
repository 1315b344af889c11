"""The process that owns the embedded PostgreSQL: starts it, and stops it after its last user.

What if it dies, or gets SIGTERM? At any step the kernel signals the programs it started, see
``staging_api.embedded_postgres.cluster``; they keep the ``server`` lock until they are gone, and
the next supervisor begins by waiting for that lock. So no step here has anything to undo. If
PostgreSQL ends by itself (killed for lack of memory, say), this process starts it again.
"""

import fcntl
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import NoReturn
from urllib.parse import quote

from staging_api.embedded_postgres import cluster
from staging_api.embedded_postgres.cluster import Programs
from staging_api.embedded_postgres.errors import EmbeddedPostgresError
from staging_api.embedded_postgres.files import ServerFiles, lock_file, lock_file_within
from staging_api.embedded_postgres.unprivileged import become_ordinary_user

_GRACE_SECONDS = 1.0  # if the only user restarts meanwhile, it finds the server running
_OLD_SERVER_SECONDS = 90.0


def main(arguments: list[str]) -> None:
    """Detach, then supervise, with the arguments that `server` passes."""
    base, binaries, sockets, start, durable, database = arguments
    if os.fork():
        # The user waits only for this parent, and has no child to reap.
        os._exit(0)
    _reset_signals()
    try:
        supervise(
            ServerFiles(Path(base)),
            Path(binaries),
            Path(sockets),
            start=int(start),
            durable=durable == "1",
            database=database,
        )
    except (EmbeddedPostgresError, TimeoutError) as error:
        sys.exit(str(error))


def supervise(
    files: ServerFiles, binaries: Path, sockets: Path, *, start: int, durable: bool, database: str
) -> None:
    """Run the server until its last user has gone.

    Args:
        files: the paths of the server.
        binaries: the folder of PostgreSQL's programs.
        sockets: an existing folder that only this user may enter.
        start: the descriptor of the ``start`` lock, closed once the server accepts connections.
        durable: whether data is forced to the disk.
        database: the name of the database, and of its superuser.

    Raises:
        EmbeddedPostgresError: the server cannot be started.
        TimeoutError: an older server of this home did not end.
    """
    lock_file(files.supervisor_lock, fcntl.LOCK_EX)
    lock = lock_file_within(files.server_lock, _OLD_SERVER_SECONDS)
    become_ordinary_user(files.data, [files.base, binaries / "postgres"])
    try:
        while not _serve(files, Programs(binaries, lock, durable, database), sockets, start):
            print("PostgreSQL ended by itself; it is started again", file=sys.stderr)  # noqa: T201
            start = lock_file(files.start_lock, fcntl.LOCK_EX)
            # The lock is shared: backends that outlive their server still have a copy.
            os.close(lock)
            lock = lock_file_within(files.server_lock, _OLD_SERVER_SECONDS)
    finally:
        with suppress(OSError):
            sockets.rmdir()


def _serve(files: ServerFiles, programs: Programs, sockets: Path, start: int) -> bool:
    """Run one server; return True when its last user has gone, False if it ended before."""
    files.server_info.unlink(missing_ok=True)
    data = cluster.data_folder(programs, files.data)
    server = cluster.start(programs, data, sockets)
    try:
        _write_server_info(files, programs, sockets, server)
        os.close(start)
        return _wait_for_last_user(files, server)
    finally:
        # First, because the kernel drops the locks of an ending process in any order.
        files.server_info.unlink(missing_ok=True)
        cluster.stop(server)


def _reset_signals() -> None:
    """Reset signal settings that survive exec in the user's process; exit on SIGTERM."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped by SIGTERM"))


def _write_server_info(
    files: ServerFiles, programs: Programs, sockets: Path, server: Popen[bytes]
) -> None:
    server_info = {
        "url": f"postgresql://{programs.database}@/{programs.database}"
        f"?host={quote(str(sockets), safe='/')}&port={cluster.PORT}",
        "socket_dir": str(sockets),
        "port": cluster.PORT,
        "supervisor_pid": os.getpid(),
        "postmaster_pid": server.pid,
        "durable": programs.durable,
    }
    fresh = files.server_info.with_suffix(".new")
    fresh.write_text(json.dumps(server_info, indent=2) + "\n")
    fresh.replace(files.server_info)


def _wait_for_last_user(files: ServerFiles, server: Popen[bytes]) -> bool:
    """Wait until the last user is gone, and keep the ``users`` lock while the server stops.

    Returns False at once when the server ends by itself.
    """

    def server_ended(*_: object) -> NoReturn:
        raise ChildProcessError

    try:
        signal.signal(signal.SIGCHLD, server_ended)
        if server.poll() is not None:  # the server ended before the line above
            return False
        while True:
            os.close(lock_file(files.users_lock, fcntl.LOCK_EX))
            time.sleep(_GRACE_SECONDS)
            with suppress(BlockingIOError):
                lock_file(files.users_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
    except ChildProcessError:
        return False
    finally:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


if __name__ == "__main__":
    main(sys.argv[1:])
