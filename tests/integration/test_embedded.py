"""The embedded PostgreSQL under real processes, real signals and real users."""

import ctypes
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
import pytest

from staging_api.db import embedded, unprivileged
from staging_api.db.embedded_files import EmbeddedFiles, is_locked, locked_within
from staging_api.errors import DatabaseUnusable

PATIENCE_SECONDS = 60
ROOT = os.geteuid() == 0
PROJECT = Path(embedded.__file__).parents[2]
USER_PROGRAM = """
import json, os, subprocess, sys
from pathlib import Path
from staging_api.db import embedded
server = embedded.acquire(Path(sys.argv[1]), Path(sys.argv[2]), durable=False)
{then}
print(json.dumps({{"url": server.url, "supervisor": server.supervisor_pid,
                  "postmaster": server.postmaster_pid}}), flush=True)
sys.stdin.read()
"""


class User:
    """A process that uses the server of a home until it is told to end."""

    def __init__(self, home: Path, binaries: Path, then: str, become: Callable[[], None] | None):
        self.process = subprocess.Popen(
            [sys.executable, "-c", USER_PROGRAM.format(then=then), home, binaries],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=become,
        )

    def server(self) -> dict:
        """Wait until it has joined or started the server."""
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def end(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait()
        self.forget()

    def forget(self) -> None:
        """Close our ends of its pipes; what it left behind reads the end of its input."""
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """A home in which the data folder exists, to copy."""
    with temporary_home() as home:
        embedded.acquire(home, durable=False).close()
        nothing_lives(home)
        yield home


@pytest.fixture
def home(made: Path) -> Iterator[Path]:
    with temporary_home() as folder:
        shutil.copytree(made / "postgresql" / "data", folder / "postgresql" / "data", symlinks=True)
        yield folder


@pytest.fixture
def empty_home() -> Iterator[Path]:
    with temporary_home() as folder:
        yield folder


@pytest.fixture
def start_user() -> Iterator[Callable[..., User]]:
    users = []

    def start(
        home: Path,
        then: str = "",
        become: Callable[[], None] | None = None,
        binaries: Path | None = None,
    ) -> User:
        users.append(User(home, binaries or embedded.find_binaries(), then, become))
        return users[-1]

    yield start
    for user in users:
        user.end()


@contextmanager
def temporary_home() -> Iterator[Path]:
    """A folder that is removed; fails the test if a process of its server is left."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        (home / "postgresql").mkdir(parents=True, mode=0o700)
        try:
            yield home
        finally:
            nothing_lives(home)


def nothing_lives(home: Path) -> None:
    """Wait until no supervisor, server or backend of this home is left."""
    files = EmbeddedFiles(home / "postgresql")
    if files.users_lock.exists():
        os.close(locked_within(files.supervisor_lock, PATIENCE_SECONDS))
        os.close(locked_within(files.server_lock, PATIENCE_SECONDS))


@contextmanager
def ends(pid: int) -> Iterator[None]:
    """Expect this process to end because of what the block does."""
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


def query(url: str, statement: str) -> list[tuple]:
    connection = psycopg2.connect(url.replace("+psycopg2", ""))
    connection.autocommit = True
    try:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []
    finally:
        connection.close()


def become_nobody() -> None:
    """Be an ordinary user, who may still enter the folder of root's interpreter."""
    unprivileged._switch_user(pwd.getpwnam("nobody"))


def forbid_user_namespaces() -> None:
    """Enter a namespace with the same users, in which the kernel refuses further ones."""
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
    """Make the folder one of somebody else."""
    if ROOT:
        os.chown(folder, 12345, 12345)
    else:
        folder.rmdir()
        folder.symlink_to("/", target_is_directory=True)


def test_a_fresh_home_gets_a_database_that_sorts_by_code_point_in_utc(empty_home):
    with embedded.running(empty_home, durable=False) as server:
        assert query(
            server.url,
            "SELECT current_database(), current_user, current_setting('TimeZone'),"
            " pg_encoding_to_char(encoding), datlocale"
            " FROM pg_database WHERE datname = current_database()",
        ) == [("staging", "staging", "UTC", "UTF8", "C.UTF-8")]


def test_nothing_listens_on_tcp_and_only_the_owner_may_enter_the_socket_folder(home):
    with embedded.running(home, durable=False) as server:
        assert query(server.url, "SHOW listen_addresses") == [("",)]
        assert query(server.url, "SELECT type, auth_method FROM pg_hba_file_rules") == [
            ("local", "trust")
        ]
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700


def test_the_server_forces_data_to_the_disk_unless_told_otherwise(home):
    with embedded.running(home) as server:
        assert query(server.url, "SHOW fsync") == [("on",)]
        assert query(server.url, "SHOW full_page_writes") == [("on",)]


def test_a_durable_use_of_a_server_without_fsync_is_refused(home):
    with embedded.running(home, durable=False), pytest.raises(DatabaseUnusable, match="fsync"):
        embedded.acquire(home)


def test_a_second_process_joins_the_same_server(home, start_user):
    assert start_user(home).server() == start_user(home).server()


def test_processes_that_start_together_make_one_server(empty_home, start_user):
    users = [start_user(empty_home) for _ in range(4)]
    assert len({user.server()["postmaster"] for user in users}) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_with_its_only_user_however_that_ends(home, start_user, number):
    user = start_user(home)
    server = user.server()
    with ends(server["postmaster"]), ends(server["supervisor"]):
        user.end(number)


def test_the_server_outlives_the_process_that_started_it(home, start_user):
    starter, joiner = start_user(home), start_user(home)
    server = starter.server()
    joiner.server()
    starter.end()
    assert query(server["url"], "SELECT 1") == [(1,)]


def test_closing_one_use_twice_leaves_the_other_one_alone(home):
    with embedded.running(home, durable=False) as server:
        other = embedded.acquire(home, durable=False)
        other.close()
        other.close()
        assert query(server.url, "SELECT 1") == [(1,)]


def test_a_forked_child_keeps_the_server_after_its_parent_was_killed(home, start_user):
    fork = "child = os.fork()\nif child == 0: sys.stdin.read(); os._exit(0)"
    user = start_user(home, then=fork)
    server = user.server()
    user.process.kill()
    user.process.wait()
    with ends(server["supervisor"]):
        assert is_locked(EmbeddedFiles(home / "postgresql").users_lock)
        user.forget()


def test_a_program_started_by_a_user_does_not_keep_the_server(home, start_user):
    user = start_user(home, then="subprocess.Popen(['cat'])")
    server = user.server()
    with ends(server["postmaster"]):
        user.process.kill()


def test_killing_the_supervisor_ends_the_server_and_the_next_one_has_the_data(home, start_user):
    first = start_user(home).server()
    query(first["url"], "CREATE TABLE kept AS SELECT 42 AS value")
    with ends(first["postmaster"]):
        os.kill(first["supervisor"], signal.SIGKILL)
        second = start_user(home).server()
    assert second["postmaster"] != first["postmaster"]
    assert query(first["url"], "SELECT value FROM kept") == [(42,)]


def test_a_server_killed_alone_is_started_again_at_the_same_url(home, start_user):
    server = start_user(home).server()
    query(server["url"], "CREATE TABLE kept AS SELECT 42 AS value")
    with ends(server["postmaster"]):
        os.kill(server["postmaster"], signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := answer_or_none(server["url"])):
        assert time.monotonic() < deadline
    assert answer == [(42,)]
    assert lives(server["supervisor"])


def answer_or_none(url: str) -> list[tuple] | None:
    try:
        return query(url, "SELECT value FROM kept")
    except psycopg2.OperationalError:
        return None


def test_a_data_folder_whose_making_was_killed_is_never_believed(empty_home, start_user):
    real, slow = embedded.find_binaries(), empty_home.parent / "slow"
    slow.mkdir()
    (slow / "postgres").symlink_to(real / "postgres")
    told = slow / "told"
    os.mkfifo(told)
    # Makes a folder that looks whole, tells its parent's id, and never returns.
    (slow / "initdb").write_text(
        f'#!/bin/sh\n{real}/initdb "$@"\necho $PPID >{told}\nexec sleep 99\n'
    )
    (slow / "initdb").chmod(0o755)
    user = start_user(empty_home, binaries=slow)
    with ends(supervisor := int(told.read_text())):
        os.kill(supervisor, signal.SIGKILL)
    assert "DatabaseUnusable" in user.process.stderr.read()
    with embedded.running(empty_home, durable=False) as server:
        assert query(server.url, "SELECT current_database()") == [("staging",)]


def test_a_stale_pid_file_that_names_a_living_process_is_no_obstacle(home):
    (data,) = (home / "postgresql" / "data").iterdir()
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n0\n5432\n\n\n\n\n")
    with embedded.running(home, durable=False) as server:
        assert query(server.url, "SELECT 1") == [(1,)]


def test_the_home_may_be_deeper_than_a_socket_address_is_long(made):
    with temporary_home() as short:
        home = short.joinpath(*["deep" * 10] * 5)
        data = home / "postgresql" / "data"
        shutil.copytree(made / "postgresql" / "data", data, symlinks=True)
        with embedded.running(home, durable=False) as server:
            assert query(server.url, "SELECT 1") == [(1,)]
        nothing_lives(home)


def test_the_home_may_be_where_only_its_owner_may_enter(home):
    home.parent.chmod(0o700)
    with embedded.running(home, durable=False) as server:
        assert query(server.url, "SELECT 1") == [(1,)]
    assert home.parent.stat().st_mode & 0o777 == 0o700


def test_an_ordinary_user_runs_the_server_under_its_own_id(home, start_user):
    account = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
    for path in (home, *home.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
    server = start_user(home, become=become_nobody if ROOT else None).server()
    assert Path(f"/proc/{server['postmaster']}").stat().st_uid == account.pw_uid
    assert query(server["url"], "SELECT 1") == [(1,)]


def test_root_manages_where_user_namespaces_are_forbidden_and_with_the_data_of_before(
    home, start_user
):
    home.parent.chmod(0o700)
    user = start_user(home, become=forbid_user_namespaces if ROOT else None)
    server = user.server()
    query(server["url"], "CREATE TABLE kept AS SELECT 42 AS value")
    with ends(server["supervisor"]):
        user.end()
    with embedded.running(home, durable=False) as again:
        assert query(again.url, "SELECT value FROM kept") == [(42,)]


def test_data_of_another_user_is_refused_with_its_owner_named(empty_home):
    folder = empty_home / "postgresql"
    give_to_another(folder)
    with pytest.raises(DatabaseUnusable, match=f"user id {folder.stat().st_uid}"):
        embedded.acquire(empty_home)


def test_data_of_another_major_version_is_refused_and_left_alone(home):
    (data,) = (home / "postgresql" / "data").iterdir()
    older = data.rename(data.with_name("9"))
    with pytest.raises(DatabaseUnusable, match=r"made by PostgreSQL 9.*version 18"):
        embedded.acquire(home)
    assert list(older.parent.iterdir()) == [older]


def test_a_squatted_socket_folder_is_refused_and_not_followed(home):
    with embedded.running(home, durable=False) as server:
        folder = server.socket_dir
    nothing_lives(home)
    folder.symlink_to(home)
    try:
        with pytest.raises(DatabaseUnusable, match="not a folder of ours"):
            embedded.acquire(home, durable=False)
    finally:
        folder.unlink()


def test_binaries_without_the_programs_are_named(empty_home):
    with pytest.raises(DatabaseUnusable, match="no initdb and no postgres"):
        embedded.acquire(empty_home, empty_home)


def test_without_the_wheel_the_error_names_the_command_that_installs_it():
    program = "from staging_api.db.embedded import find_binaries; find_binaries()"
    without_packages = [sys.executable, "-S", "-c", program]
    done = subprocess.run(
        without_packages, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert "pip install 'staging_api[embedded]'" in done.stderr
