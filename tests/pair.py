"""A primary server and its standby, run with the programs of the embedded PostgreSQL."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psycopg2

from staging_api.db.embedded import find_binaries

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "wal_level": "replica",
    "max_wal_senders": "4",
    "max_connections": "60",
    "shared_buffers": "32MB",
    # In the server's folder, so that a killed server leaves nothing behind in /dev/shm.
    "dynamic_shared_memory_type": "mmap",
    "wal_receiver_status_interval": "1",
    "jit": "off",
}
_READY_SECONDS = 60.0


@dataclass
class Node:
    """One server; its socket is in its own folder."""

    folder: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The URL for SQLAlchemy."""
        return url_of(self.folder)

    def run(self, program: str, *options: str) -> None:
        """Run a program of PostgreSQL to its end."""
        subprocess.run(
            _command(self.folder / "data", program, *options),
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def start(self) -> None:
        """Start the server, and wait until it accepts connections."""
        given = {**_SETTINGS, "unix_socket_directories": str(self.folder)}
        options = [part for name, value in given.items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                _command(self.folder / "data", "postgres", "-D", self.folder / "data", *options),
                stdout=log,
                stderr=log,
                start_new_session=True,  # a Ctrl-C at the terminal is for the tests alone
            )
        _until(self.answers)

    def answers(self) -> bool:
        """Return whether the server accepts connections."""
        with suppress(psycopg2.OperationalError):
            self.sql("SELECT 1")
            return True
        return False

    def sql(self, statement: str) -> list[tuple[object, ...]]:
        """Run one statement in its own connection."""
        conn = psycopg2.connect(host=str(self.folder), user="staging", dbname="postgres")
        try:
            conn.autocommit = True
            with conn.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []
        finally:
            conn.close()

    def kill(self) -> None:
        """Kill the server as a loss of power does: it writes and sends nothing more."""
        if self.process is None:
            return
        pids = [self.process.pid, *_children(self.process.pid)]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


@dataclass
class Pair:
    """The primary, its standby, and their folder."""

    base: Path
    sync: bool
    primary: Node = field(init=False)
    standby: Node = field(init=False)
    made: int = 0

    def __post_init__(self) -> None:
        self.primary = self._node()
        options = ("-D", str(self.primary.folder / "data"), "--no-sync", "--auth=trust")
        self.primary.run("initdb", *options, "--username=staging", "--locale=C", "--encoding=UTF8")
        self.primary.start()

    def follow(self) -> None:
        """Create a new standby of the primary, and wait until it streams."""
        self.standby = self._node()
        options = ("-D", str(self.standby.folder / "data"), "-h", str(self.primary.folder))
        self.standby.run("pg_basebackup", *options, "-U", "staging", "-R", "-c", "fast", "-N")
        self.standby.start()
        state = "sync" if self.sync else "async"
        query = f"SELECT 1 FROM pg_stat_replication WHERE sync_state = '{state}'"
        if self.sync:
            self.primary.sql("ALTER SYSTEM SET synchronous_standby_names = '*'")
            self.primary.sql("SELECT pg_reload_conf()")
        _until(lambda: bool(self.primary.sql(query)))

    def cut(self) -> None:
        """Stop all replication to the standby."""
        self.standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
        self.standby.sql("SELECT pg_reload_conf()")
        _until(lambda: not self.standby.sql("SELECT 1 FROM pg_stat_wal_receiver"))

    def fail_over(self) -> None:
        """Kill the primary, and promote the standby."""
        self.primary.kill()
        shutil.rmtree(self.primary.folder)
        self.standby.sql("ALTER SYSTEM RESET ALL")
        self.standby.sql("SELECT pg_reload_conf()")
        self.standby.sql("SELECT pg_promote()")
        self.primary = self.standby

    def close(self) -> None:
        """Stop both servers."""
        for node in (self.primary, getattr(self, "standby", self.primary)):
            node.kill()

    def _node(self) -> Node:
        self.made += 1
        folder = self.base / str(self.made)
        folder.mkdir(mode=0o755)
        (folder / "data").mkdir(mode=0o700)
        return Node(folder)


@contextmanager
def pair(*, sync: bool) -> Iterator[Pair]:
    """Yield a primary with a standby."""
    # A short path: the address of a Unix socket has at most 107 bytes.
    with tempfile.TemporaryDirectory(prefix="staging-pair-", dir="/tmp") as base:
        made = Pair(Path(base), sync)
        try:
            made.follow()
            yield made
        finally:
            made.close()


def url_of(folder: Path, user: str = "staging") -> str:
    """Return the URL, for SQLAlchemy, of the server whose socket is in `folder`."""
    return f"postgresql+psycopg2://{user}@/postgres?host={folder}&port=5432"


def _command(data: Path, program: str, *options: "str | Path") -> list[str]:
    path = find_binaries() / program
    return [sys.executable, "-m", "tests.ordinary", str(data), str(path), *map(str, options)]


def _children(pid: int) -> list[int]:
    return [int(c) for c in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _until(ready: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _READY_SECONDS
    while not ready():
        assert time.monotonic() < deadline, "the servers did not come up"
        time.sleep(0.02)
