"""Supervisor of an embedded PostgreSQL: its steps, their order, and time limits."""

import fcntl
import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from staging_api.embedded_postgres import cluster, supervisor
from staging_api.embedded_postgres.errors import EmbeddedPostgresError
from staging_api.embedded_postgres.files import ServerFiles, is_locked, lock_file, lock_file_within
from tests.pauses import patch_sleep

Done = list[Any]


@pytest.fixture
def files(tmp_path: Path) -> Iterator[ServerFiles]:
    found = ServerFiles(tmp_path / "postgresql")
    found.users_lock.parent.mkdir(parents=True)
    yield found
    for each in list(Path("/proc/self/fd").iterdir()):
        # A supervisor keeps its locks as long as its process lives.
        if each.exists() and tmp_path in each.readlink().parents:
            os.close(int(each.name))


@pytest.fixture
def done(monkeypatch: pytest.MonkeyPatch) -> Done:
    """Record the operations on a server without a process, in order."""
    found: Done = []
    server = SimpleNamespace(pid=7, poll=lambda: None)

    def started(_programs: Any, data: Path, sockets: Path) -> Any:
        found.append(("start", data.name, sockets.name))
        return server

    monkeypatch.setattr(cluster, "data_folder", lambda _programs, parent: parent / "18")
    monkeypatch.setattr(cluster, "start", started)
    monkeypatch.setattr(cluster, "stop", lambda _server: found.append("stop"))
    monkeypatch.setattr(
        supervisor, "become_ordinary_user", lambda data, reach: found.append((data, list(reach)))
    )
    return found


def supervised(files: ServerFiles, sockets: Path) -> None:
    start = lock_file(files.start_lock, fcntl.LOCK_EX)
    supervisor.supervise(
        files, Path("/programs"), sockets, start=start, durable=True, database="kept"
    )


def test_a_server_that_ended_is_started_again_behind_the_locks_and_its_socket_goes_last(
    files: ServerFiles,
    done: Done,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    answers = [True, False, False]

    def wait(given: ServerFiles, _server: Any) -> bool:
        assert given.server_info.exists()
        locks = (files.supervisor_lock, files.server_lock, files.start_lock)
        done.append([is_locked(each) for each in locks])
        return answers.pop()

    monkeypatch.setattr(supervisor, "_wait_for_last_user", wait)
    stop = [lambda _server: done.append(("stop", files.server_info.exists()))]
    monkeypatch.setattr(cluster, "stop", stop[0])
    supervised(files, sockets)
    once = [("start", "18", "sockets"), [True, True, False], ("stop", False)]
    assert done == [(files.data, [files.base, Path("/programs/postgres")]), *once * 3]
    assert not sockets.exists()
    assert capsys.readouterr().err == "PostgreSQL ended by itself; it is started again\n" * 2


@pytest.mark.usefixtures("done")
@pytest.mark.parametrize("name", ["not empty", "gone"])
def test_a_socket_folder_that_is_not_empty_or_gone_is_left(
    files: ServerFiles, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / "not empty" / "of another").mkdir(parents=True)
    monkeypatch.setattr(supervisor, "_wait_for_last_user", lambda *_given: True)
    supervised(files, tmp_path / name)
    assert (tmp_path / "not empty" / "of another").exists()


def test_a_server_that_cannot_be_started_leaves_nothing_that_says_where_it_is(
    files: ServerFiles, done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files.server_info.write_text("{}")

    def refuse(*_given: Any) -> None:
        raise EmbeddedPostgresError("it cannot")

    monkeypatch.setattr(cluster, "start", refuse)
    sockets = tmp_path / "sockets"
    sockets.mkdir()
    with pytest.raises(EmbeddedPostgresError, match="it cannot"):
        supervised(files, sockets)
    assert not files.server_info.exists()
    assert not sockets.exists()


def test_a_server_is_stopped_though_somebody_removed_what_says_where_it_is(
    files: ServerFiles, done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def removed(given: ServerFiles, _server: Any) -> bool:
        given.server_info.unlink()
        return True

    monkeypatch.setattr(supervisor, "_wait_for_last_user", removed)
    supervised(files, tmp_path)
    assert done[1:] == [("start", "18", tmp_path.name), "stop"]


def test_an_older_server_is_waited_for_a_minute_and_a_half(
    files: ServerFiles, done: Done, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[Path, float]] = []

    def noted(path: Path, seconds: float) -> int:
        asked.append((path, seconds))
        return lock_file_within(path, seconds)

    answers = [True, False]
    monkeypatch.setattr(supervisor, "lock_file_within", noted)
    monkeypatch.setattr(supervisor, "_wait_for_last_user", lambda *_given: answers.pop())
    supervised(files, tmp_path)
    assert asked == [(files.server_lock, 90.0)] * 2


@pytest.fixture
def _child_handler() -> Iterator[None]:
    """Restore the handlers and the mask of signals after each test."""
    numbers = (signal.SIGCHLD, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    yield
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_child_handler")
def test_a_user_that_comes_within_a_second_finds_the_server_warm(
    files: ServerFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    users: list[int] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            users.append(lock_file(files.users_lock, fcntl.LOCK_SH))
            threading.Timer(0.05, lambda: os.close(users.pop())).start()

    patch_sleep(monkeypatch, pause)
    server: Any = SimpleNamespace(poll=lambda: None)
    assert supervisor._wait_for_last_user(files, server)
    assert pauses == [1.0, 1.0]
    assert is_locked(files.users_lock), "none joins a server that stops"
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL


@pytest.mark.usefixtures("_child_handler")
@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_server_that_ends_by_itself_is_noticed_at_once(files: ServerFiles, when: str) -> None:
    user = lock_file(files.users_lock, fcntl.LOCK_SH)
    waiting = threading.get_ident()

    def poll() -> int | None:
        if when == "before":
            return 1
        # Sent to the waiting thread, because the tests' process has others.
        given = [waiting, signal.SIGCHLD]
        threading.Timer(0.05, signal.pthread_kill, given).start()
        return None

    server: Any = SimpleNamespace(poll=poll)
    assert not supervisor._wait_for_last_user(files, server)
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    os.close(user)


@pytest.mark.usefixtures("_child_handler")
def test_what_a_user_set_of_signals_is_undone_and_a_sigterm_leaves_in_good_order() -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGINT])
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    supervisor._reset_signals()
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == set()
    assert signal.getsignal(signal.SIGCHLD) == signal.SIG_DFL
    with pytest.raises(SystemExit, match="stopped by SIGTERM"):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize(("durable", "expected"), [("1", True), ("0", False)])
def test_the_supervisor_gets_the_arguments_of_its_command_line(
    monkeypatch: pytest.MonkeyPatch, durable: str, expected: bool
) -> None:
    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(os, "_exit", None)
    found: Done = []
    monkeypatch.setattr(supervisor, "_reset_signals", lambda: found.append("signals"))
    monkeypatch.setattr(
        supervisor, "supervise", lambda *given, **named: found.append((given, named))
    )
    supervisor.main(["/base", "/programs", "/sockets", "5", durable, "kept"])
    given = (ServerFiles(Path("/base")), Path("/programs"), Path("/sockets"))
    assert found == ["signals", (given, {"start": 5, "durable": expected, "database": "kept"})]


@pytest.mark.parametrize("error", [EmbeddedPostgresError("it cannot"), TimeoutError("it cannot")])
def test_the_supervisor_exits_with_its_error(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_given: Any, **_named: Any) -> None:
        raise error

    monkeypatch.setattr(os, "fork", lambda: 0)
    monkeypatch.setattr(os, "_exit", None)
    monkeypatch.setattr(supervisor, "_reset_signals", lambda: None)
    monkeypatch.setattr(supervisor, "supervise", fail)
    with pytest.raises(SystemExit, match="it cannot"):
        supervisor.main(["/base", "/programs", "/sockets", "5", "1", "kept"])


def test_who_waits_for_it_waits_for_a_parent_that_does_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Left(Exception):
        pass

    def leave(_status: int) -> None:
        raise Left

    monkeypatch.setattr(os, "fork", lambda: 77)
    monkeypatch.setattr(os, "_exit", leave)
    with pytest.raises(Left):
        supervisor.main(["/base", "/programs", "/sockets", "5", "1", "kept"])
