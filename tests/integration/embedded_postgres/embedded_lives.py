"""Homes, processes and helpers for lifecycle tests of the embedded PostgreSQL."""

import ctypes
import json
import os
import pwd
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import psycopg2

from staging_api.embedded_postgres import server as embedded
from staging_api.embedded_postgres import unprivileged
from staging_api.embedded_postgres.files import ServerFiles, is_locked, lock_file_within

PATIENCE_SECONDS = 60
ROOT = os.geteuid() == 0
DATABASE = "kept"
acquire = partial(embedded.acquire, database=DATABASE)
running = partial(embedded.running, database=DATABASE)
PROJECT = Path(embedded.__file__).parents[2]
USER_PROGRAM = """
import json, os, subprocess, sys
from pathlib import Path
from staging_api.embedded_postgres import server as embedded
server = embedded.acquire(Path(sys.argv[1]), Path(sys.argv[2]), database="kept", durable=False)
{then}
print(json.dumps({{"url": server.url, "socket_dir": str(server.socket_dir),
                  "supervisor": server.supervisor_pid,
                  "postmaster": server.postmaster_pid}}), flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the server of a home until it is told to exit."""

    def __init__(self, home: Path, binaries: Path, then: str, become: Callable[[], None] | None):
        program = USER_PROGRAM.format(then=then)
        if become:
            # In a separate program: between fork and exec of a process with threads, such as this
            # one, a lock may be held for ever.
            program = f"import {become.__module__} as lives; lives.{become.__name__}()\n{program}"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, home, binaries],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        pipes = (self.process.stdin, self.process.stdout, self.process.stderr)
        self.input, self.output, self.errors = (pipe for pipe in pipes if pipe)

    def server(self) -> dict[str, Any]:
        """Wait until the process has joined or started the server, and return its report."""
        line = self.output.readline()
        assert line, self.complaint()
        shown: dict[str, Any] = json.loads(line)
        return shown

    def complaint(self) -> str:
        """Wait until the process has exited, and return its standard error."""
        return self.errors.read()

    def end(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our ends of the process's pipes; processes that it left behind read end of file."""
        for pipe in (self.input, self.output, self.errors):
            pipe.close()


class StartUser(Protocol):
    """Factory of processes that use a home; all are ended with the test at the latest."""

    def __call__(
        self,
        home: Path,
        then: str = "",
        become: Callable[[], None] | None = None,
        binaries: Path | None = None,
    ) -> User: ...


@contextmanager
def temporary_home() -> Iterator[Path]:
    """Yield a folder that is removed; fail the test if a process of its server is left."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "postgresql").mkdir(parents=True, mode=0o700)
        try:
            yield home
        finally:
            nothing_lives(home)


def nothing_lives(home: Path) -> None:
    """Wait until no supervisor, server or backend of this home is left."""
    files = ServerFiles(home / "postgresql")
    if files.users_lock.exists():
        if is_locked(files.supervisor_lock) and files.server_info.exists():
            # The supervisor would exit by itself; the wait for late users is tested elsewhere.
            with suppress(ProcessLookupError):
                os.kill(json.loads(files.server_info.read_text())["supervisor_pid"], signal.SIGTERM)
        os.close(lock_file_within(files.supervisor_lock, PATIENCE_SECONDS))
        os.close(lock_file_within(files.server_lock, PATIENCE_SECONDS))


@contextmanager
def ends(pid: int) -> Iterator[None]:
    """Assert that the block makes this process exit."""
    watch = os.pidfd_open(pid)
    try:
        yield
        assert select.select([watch], [], [], PATIENCE_SECONDS)[0], f"process {pid} still lives"
    finally:
        os.close(watch)


def lives(pid: int) -> bool:
    watch = os.pidfd_open(pid)
    try:
        return not select.select([watch], [], [], 0)[0]
    finally:
        os.close(watch)


def query(url: str, statement: str) -> list[tuple[Any, ...]]:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def become_nobody() -> None:
    """Become an unprivileged user who may still enter the folder of root's interpreter."""
    unprivileged._change_user(pwd.getpwnam("nobody"))


def forbid_user_namespaces() -> None:
    """Enter a user namespace with the same users, in which the kernel refuses more of them."""
    me, (ready, go) = os.getpid(), os.pipe()
    mapper = os.fork()
    if mapper == 0:
        os.read(ready, 1)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{me}/{kind}").write_text("0 0 4294967295")
        os._exit(0)
    assert ctypes.CDLL(None).unshare(0x10000000) == 0
    os.write(go, b"!")
    assert os.waitpid(mapper, 0)[1] == 0
    Path("/proc/sys/user/max_user_namespaces").write_text("0")


def give_to_another(folder: Path) -> None:
    """Change the owner of the folder to another user."""
    if ROOT:
        os.chown(folder, 12345, 12345)
    else:
        folder.rmdir()
        folder.symlink_to("/", target_is_directory=True)


def answer_or_none(url: str, statement: str) -> list[tuple[Any, ...]] | None:
    try:
        return query(url, statement)
    except psycopg2.OperationalError:
        return None
