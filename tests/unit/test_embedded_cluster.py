"""Embedded PostgreSQL: settings, signals and arguments of its programs."""

import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from staging_api.embedded_postgres import cluster
from staging_api.embedded_postgres.cluster import Programs
from staging_api.embedded_postgres.errors import EmbeddedPostgresError
from staging_api.embedded_postgres.files import is_locked, lock_file

FOUND = """#!/bin/sh
echo "$0" "$@" >>{log}
env | grep -v -e ^PWD= -e ^SHLVL= -e ^_= -e ^OLDPWD= | sort >{log}.env
case "$*" in *--version*) echo "postgres (PostgreSQL) {version}"; exit;; esac
cat >>{log}
case "$0 $*" in *initdb*-D*--no-sync*) mkdir -p "$2";; esac
"""


_AS_MADE = (
    "--auth=trust --encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8"
)


class Noted:
    """Programs that record how they are run."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.lock = lock_file(folder / "lock", fcntl.LOCK_EX)
        self.has("18.3")

    def has(self, version: str) -> None:
        for name in ("postgres", "initdb"):
            program = self.folder / name
            program.write_text(FOUND.format(log=self.log, version=version))
            program.chmod(0o755)

    def programs(self, *, durable: bool) -> Programs:
        return Programs(self.folder, self.lock, durable, "kept")

    def lines(self) -> list[str]:
        return self.log.read_text().replace(f"{self.folder}/", "").splitlines()


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[Noted]:
    found = Noted(tmp_path)
    yield found
    os.close(found.lock)


@pytest.mark.parametrize("durable", [True, False])
def test_a_data_folder_is_made_beside_its_place_and_comes_there_whole(
    noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    left = tmp_path / "data" / "18.new" / "half"
    left.mkdir(parents=True)
    synced: list[Path] = []
    monkeypatch.setattr(cluster, "_sync_folder", synced.append)
    data = cluster.data_folder(noted.programs(durable=durable), tmp_path / "data")
    assert data == tmp_path / "data" / "18"
    assert [each.name for each in data.iterdir()] == ["pg_hba.conf"]
    assert (data / "pg_hba.conf").read_text() == "local all all trust\n"
    assert list(data.parent.iterdir()) == [data]
    assert noted.lines() == [
        "postgres --version",
        f"initdb -D data/18.new --no-sync --no-instructions --username=kept {_AS_MADE}",
        "postgres --single -F -c exit_on_error=on -D data/18.new postgres",
        "CREATE DATABASE kept",
        *(["initdb --sync-only -D data/18.new"] if durable else []),
    ]
    assert synced == ([data.parent] if durable else [])
    assert (tmp_path / "log.env").read_text() == "LC_ALL=C\nPATH=/usr/bin:/bin\nTZ=UTC\n"
    noted.log.unlink()
    assert cluster.data_folder(noted.programs(durable=durable), data.parent) == data
    assert noted.lines() == ["postgres --version"]


def test_data_of_other_versions_is_named_and_other_files_are_not(
    noted: Noted, tmp_path: Path
) -> None:
    for name in ("9", "17", "notes", "16.new"):
        (tmp_path / "data" / name).mkdir(parents=True)
    noted.has("19beta1")
    with pytest.raises(EmbeddedPostgresError, match=r"PostgreSQL 17, 9, .*are version 19beta1:"):
        cluster.data_folder(noted.programs(durable=True), tmp_path / "data")


@pytest.mark.parametrize("durable", [True, False])
def test_a_server_listens_at_its_socket_alone_and_is_durable_unless_that_is_traded(
    noted: Noted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    monkeypatch.setattr(cluster, "_is_ready", lambda _state: True)
    server = cluster.start(noted.programs(durable=durable), tmp_path / "d", tmp_path / "s")
    assert server.wait(30) == 0
    settings = {
        "listen_addresses": "",
        "max_connections": "200",
        "shared_buffers": "128MB",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "log_checkpoints": "off",
        "jit": "off",
        **({} if durable else {"fsync": "off", "full_page_writes": "off"}),
        "unix_socket_directories": "s",
        "port": "5432",
    }
    options = " ".join(f"-c {name}={value}" for name, value in settings.items())
    assert noted.lines()[0] == f"postgres -D d {options}"
    assert (tmp_path / "log.env").read_text() == "LC_ALL=C\nPATH=/usr/bin:/bin\nTZ=UTC\n"


class Stubborn:
    """Server that ends only at the last of several signals."""

    def __init__(self, signals: int) -> None:
        self.signals = signals
        self.sent: list[Any] = []

    def send_signal(self, number: int) -> None:
        self.sent.append(number)

    def wait(self, seconds: float) -> None:
        self.sent.append(seconds)
        if len(self.sent) < 2 * self.signals:
            raise subprocess.TimeoutExpired("postgres", seconds)


@pytest.mark.parametrize("signals", [1, 2, 3, 4])
def test_a_server_is_asked_to_stop_told_to_and_killed_a_minute_apart(signals: int) -> None:
    server: Any = Stubborn(signals)
    cluster.stop(server)
    expected = (signal.SIGINT, 60.0, signal.SIGQUIT, 60.0, signal.SIGKILL, 60.0)
    assert tuple(server.sent) == expected[: 2 * signals]


@pytest.mark.parametrize(
    ("text", "ready"),
    [("1\nready   \n", True), ("1\nready\nstopping\n", False), ("ready\n1\n", False), ("", False)],
)
def test_a_server_is_ready_when_the_last_line_says_so(
    tmp_path: Path, text: str, ready: bool
) -> None:
    state = tmp_path / "postmaster.pid"
    assert not cluster._is_ready(state)
    state.write_text(text)
    assert cluster._is_ready(state) == ready


def test_a_server_has_two_minutes_to_be_ready() -> None:
    assert (cluster._START_SECONDS, cluster._STOP_SECONDS) == (120.0, 60.0)


WATCHED = """
import os, signal, sys, time
from staging_api.embedded_postgres import cluster
child = os.fork()
if child == 0:
    ask = cluster._signal_on_parent_death(signal.Signals(int(sys.argv[1])))
    parent = os.fork()
    if parent == 0:
        ask()
        os.write(1, b"asked")
        while True:
            time.sleep(60)
    sys.stdin.read(1)
    os._exit(0)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_program_ends_with_the_process_that_started_it(number: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", WATCHED, str(int(number))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as started:
        assert started.stdout
        assert started.stdout.read(5) == b"asked"
        assert started.stdin
        started.stdin.write(b"x")
        started.stdin.flush()
        assert started.stdout.read() == b"", "its end is that of the last who writes"


def test_a_program_whose_parent_died_before_it_asked_ends() -> None:
    ask = cluster._signal_on_parent_death(signal.SIGINT)
    child = os.fork()
    if not child:
        try:
            grandchild = os.fork()
            if not grandchild:
                ask()
                os._exit(0)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(grandchild, 0)[1]) == -signal.SIGKILL)
        finally:
            os._exit(7)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1


def test_each_program_keeps_the_lock_and_nobody_else_does(noted: Noted, tmp_path: Path) -> None:
    (tmp_path / "postgres").write_text("#!/bin/sh\nexec sleep 60\n")
    lock = lock_file(tmp_path / "other", fcntl.LOCK_EX)
    programs = Programs(tmp_path, lock, True, "kept")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cluster, "_is_ready", lambda _state: True)
        server = cluster.start(programs, tmp_path, tmp_path)
    os.close(lock)
    assert is_locked(tmp_path / "other")
    server.kill()
    server.wait()
    assert not is_locked(tmp_path / "other")


def test_a_folder_is_synced_and_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[bool] = []
    monkeypatch.setattr(
        os, "fsync", lambda descriptor: synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
    )
    before = len(list(Path("/proc/self/fd").iterdir()))
    cluster._sync_folder(tmp_path)
    assert synced == [True]
    assert len(list(Path("/proc/self/fd").iterdir())) == before
