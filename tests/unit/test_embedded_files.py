"""Files of an embedded PostgreSQL: its address, logs, locks and errors."""

import fcntl
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.embedded_postgres import cluster, server, supervisor
from staging_api.embedded_postgres.cluster import Programs
from staging_api.embedded_postgres.errors import EmbeddedPostgresError
from staging_api.embedded_postgres.files import ServerFiles, is_locked, lock_file


def test_where_a_server_is_stands_in_a_file_that_people_can_read(tmp_path: Path) -> None:
    files, sockets = ServerFiles(tmp_path), Path("/a folder")
    programs = Programs(tmp_path, 0, True, "kept")
    for pid in (1, 2):
        process: Any = SimpleNamespace(pid=pid)
        supervisor._write_server_info(files, programs, sockets, process)
    expected = {
        "url": "postgresql://kept@/kept?host=/a%20folder&port=5432",
        "socket_dir": "/a folder",
        "port": 5432,
        "supervisor_pid": os.getpid(),
        "postmaster_pid": 2,
        "durable": True,
    }
    text = files.server_info.read_text()
    assert text.splitlines()[:2] == ["{", f'  "url": "{expected["url"]}",']
    assert text.endswith("}\n")
    assert json.loads(text) == expected
    assert list(tmp_path.iterdir()) == [files.server_info]


def test_the_log_of_the_server_before_stays_beside_the_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = ServerFiles(tmp_path)
    monkeypatch.setattr(server, "_socket_dir", lambda *_given: tmp_path)
    for text in ("first", "second", "third"):

        def start(*_given: object, said: str = text, **how: Any) -> None:
            how["stdout"].write(said.encode())

        monkeypatch.setattr(subprocess, "Popen", start)
        server._spawn_supervisor(files, tmp_path, 0, "kept", durable=True)
    assert files.log.read_text() == "third"
    assert (tmp_path / "server.log.1").read_text() == "second"
    assert len(list(tmp_path.iterdir())) == 2


def test_who_looks_at_a_lock_keeps_nothing_of_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    held = lock_file(path, fcntl.LOCK_EX)
    before = open_files()
    assert is_locked(path)
    assert open_files() == before
    os.close(held)
    for _ in range(2):
        assert not is_locked(path)


def open_files() -> int:
    """Return the number of open descriptors of this process."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("failing", ["postgres", "initdb"])
def test_a_program_that_fails_is_named_with_its_status(tmp_path: Path, failing: str) -> None:
    for name, does in (("postgres", "echo postgres version 17.1"), ("initdb", "true")):
        write_program(tmp_path / name, "exit 3" if name == failing else does)
    lock = lock_file(tmp_path / "lock", fcntl.LOCK_EX)
    with pytest.raises(EmbeddedPostgresError, match=f"{failing} ended with status 3"):
        cluster.data_folder(Programs(tmp_path, lock, True, "kept"), tmp_path / "data")
    os.close(lock)
    assert not (tmp_path / "data" / "17").exists()


def write_program(path: Path, does: str) -> None:
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)


@pytest.fixture
def _every_mode() -> Iterator[None]:
    """Create files with exactly the requested modes."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("_every_mode")
def test_only_its_owner_may_enter_the_folders_and_open_the_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    files = server._prepare_folders(tmp_path / "home")
    os.close(lock_file(files.users_lock, fcntl.LOCK_EX))
    sockets = server._socket_dir(files, "kept")
    found = (files.base, files.users_lock.parent, files.users_lock, sockets)
    assert [oct(stat.S_IMODE(each.stat().st_mode)) for each in found] == [
        *("0o700", "0o700", "0o600", "0o700"),
    ]
    sockets.chmod(0o777)
    assert server._socket_dir(files, "kept") == sockets
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700


@pytest.mark.usefixtures("_every_mode")
def test_only_its_owner_may_enter_the_folder_above_the_data(tmp_path: Path) -> None:
    write_program(tmp_path / "postgres", "echo postgres version 17.1")
    write_program(tmp_path / "initdb", 'mkdir "$2"')
    lock = lock_file(tmp_path / "lock", fcntl.LOCK_EX)
    data = cluster.data_folder(Programs(tmp_path, lock, False, "kept"), tmp_path / "data")
    os.close(lock)
    assert oct(stat.S_IMODE(data.parent.stat().st_mode)) == "0o700"


@pytest.mark.usefixtures("_every_mode")
def test_the_folder_of_the_socket_is_open_to_others_at_no_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(Path, "chmod", lambda *_given: None)  # the earlier content is shown
    sockets = server._socket_dir(ServerFiles(tmp_path / "postgresql"), "kept")
    assert oct(stat.S_IMODE(sockets.stat().st_mode)) == "0o700"


@pytest.mark.parametrize(("length", "fits"), [(107, True), (108, False)])
def test_a_socket_is_where_its_path_has_at_most_107_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int, fits: bool
) -> None:
    files = ServerFiles(tmp_path / "postgresql")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    name = Path("/") / server._socket_dir(files, "kept").name / server._SOCKET_NAME
    short = Path(tempfile.mkdtemp(dir="/tmp"))  # a path of any length may begin like this
    chosen = short / ("x" * (length - len(os.fsencode(short)) - 1 - len(os.fsencode(name))))
    chosen.mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(chosen))
    found = server._socket_dir(files, "kept")
    assert found.parent == (chosen if fits else Path("/tmp"))
    found.rmdir()
    shutil.rmtree(short)


@pytest.mark.parametrize(("lines", "shown"), [(3, [0, 1, 2]), (12, list(range(2, 12)))])
def test_of_the_log_of_a_server_that_did_not_start_ten_lines_are_shown(
    tmp_path: Path, lines: int, shown: list[int]
) -> None:
    log = tmp_path / "server.log"
    log.write_text("".join(f"{number}\n" for number in range(lines)))
    assert server._tail(log).splitlines() == list(map(str, shown))
