"""Waits for an embedded PostgreSQL: pauses between two looks, and a time limit."""

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from staging_api.embedded_postgres import cluster, server
from staging_api.embedded_postgres.errors import EmbeddedPostgresError
from staging_api.embedded_postgres.files import ServerFiles, is_locked, lock_file, lock_file_within
from tests.pauses import patch_sleep


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[Callable[[], object]]:
    """Return the actions during the pauses, the last first; an unexpected pause fails."""
    then: list[Callable[[], object]] = []
    patch_sleep(monkeypatch, lambda _seconds: then.pop()())
    return then


@pytest.fixture
def programs(tmp_path: Path) -> Iterator[cluster.Programs]:
    """Yield programs whose server ends soon, without being ready."""
    (tmp_path / "postgres").write_text("#!/bin/sh\nexec sleep 5\n")
    (tmp_path / "postgres").chmod(0o755)
    with (tmp_path / "lock").open("w") as lock:
        yield cluster.Programs(tmp_path, lock.fileno(), False, "staging")


def test_a_server_that_starts_is_looked_at_after_each_pause_until_it_is_ready(
    programs: cluster.Programs, tmp_path: Path, pauses: list[Callable[[], object]]
) -> None:
    state = tmp_path / "postmaster.pid"
    state.write_text("1\nready   \n")  # from a killed server
    pauses += [
        lambda: state.write_text("1\nready   \n"),
        lambda: state.write_text("1\nstarting\n"),
        lambda: None,
    ]
    started = cluster.start(programs, tmp_path, tmp_path)
    assert pauses == []
    assert started.poll() is None
    started.kill()
    started.wait()


def test_a_server_that_ends_before_it_is_ready_is_waited_for_no_longer(
    programs: cluster.Programs, tmp_path: Path
) -> None:
    (tmp_path / "postgres").write_text("#!/bin/sh\nexit 3\n")
    with pytest.raises(EmbeddedPostgresError, match="ended at once, with status 3"):
        cluster.start(programs, tmp_path, tmp_path)


def test_a_server_that_is_never_ready_is_stopped(
    programs: cluster.Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_START_SECONDS", -1.0)
    monkeypatch.setattr(cluster, "_STOP_SECONDS", 0.5)  # for those that ignore signals
    lock = lock_file(tmp_path / "of the server", fcntl.LOCK_EX)
    with pytest.raises(EmbeddedPostgresError, match="not ready after -1 s"):
        cluster.start(replace(programs, lock=lock), tmp_path, tmp_path)
    os.close(lock)
    assert not is_locked(tmp_path / "of the server"), "it lives, and has the lock still"


def test_a_lock_is_asked_for_again_after_each_pause(
    tmp_path: Path, pauses: list[Callable[[], object]]
) -> None:
    with ExitStack() as held:
        for name in ("one", "other"):
            held.callback(os.close, lock_file(tmp_path / name, fcntl.LOCK_EX))
        one = lock_file(tmp_path / "free", fcntl.LOCK_EX)
        pauses += [lambda: os.close(one), lambda: None]
        os.close(lock_file_within(tmp_path / "free", 5.0))
        assert pauses == []
        with pytest.raises(TimeoutError, match="other was still locked after -1 s"):
            lock_file_within(tmp_path / "other", -1.0)


def test_a_supervisor_is_asked_for_its_server_after_each_pause(
    tmp_path: Path, pauses: list[Callable[[], object]]
) -> None:
    for name in ("initdb", "postgres"):
        (tmp_path / name).touch()
    files = ServerFiles(tmp_path / "postgresql")
    files.supervisor_lock.parent.mkdir(parents=True)
    supervisor = lock_file(files.supervisor_lock, fcntl.LOCK_EX)
    found = {
        "url": "postgresql://x",
        "socket_dir": "/x",
        "port": 1,
        "supervisor_pid": 1,
        "postmaster_pid": 2,
        "durable": True,
    }
    pauses += [lambda: files.server_info.write_text(json.dumps(found)), lambda: None]
    with server.running(tmp_path, tmp_path, database="staging") as joined:
        assert joined.url == "postgresql://x"
    assert pauses == []
    os.close(supervisor)
