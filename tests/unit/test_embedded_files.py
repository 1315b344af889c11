"""What of an embedded PostgreSQL others find: its address, its logs, its locks, its errors."""

import fcntl
import json
import os
import subprocess
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
    """How many this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("failing", ["postgres", "initdb"])
def test_a_program_that_fails_is_named_with_its_status(tmp_path: Path, failing: str) -> None:
    for name, shown in (("postgres", "echo postgres version 17.1"), ("initdb", "true")):
        program = tmp_path / name
        program.write_text(f"#!/bin/sh\n{'exit 3' if name == failing else shown}\n")
        program.chmod(0o755)
    lock = lock_file(tmp_path / "lock", fcntl.LOCK_EX)
    with pytest.raises(EmbeddedPostgresError, match=f"{failing} ended with status 3"):
        cluster.data_folder(Programs(tmp_path, lock, True, "kept"), tmp_path / "data")
    os.close(lock)
    assert not (tmp_path / "data" / "17").exists()
