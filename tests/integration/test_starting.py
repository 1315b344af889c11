"""Processes that cannot start: one line, a documented exit code, and no rapid restarts."""

import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from staging_api.cli import main
from staging_api.cli.exits import REFUSED, TAKEN
from staging_api.errors import Unavailable
from staging_api.exhaustion import startup_errors
from staging_api.processes import children as children_module
from staging_api.processes.children import TAKEN_STATUS, Children
from tests import forked_command
from tests.service import eventually, free_port

Ended = subprocess.CompletedProcess[str]


def run(verb: str, folder: Path, **settings: str) -> Ended:
    """Run one of our verbs until it exits."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STAGING_")}
    given = {
        "HOME": str(folder / "home"),
        "BIND": f"127.0.0.1:{free_port()}",
        "STORE": f"file://{folder}/store",
        **settings,
    }
    return subprocess.run(
        [*forked_command.words(), verb],
        env={**inherited, **{f"STAGING_{name}": value for name, value in given.items()}},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_one_line(ended: Ended, status: int, *words: str) -> None:
    assert ended.returncode == status, ended
    assert ended.stderr.count("\n") == 1, ended.stderr
    (line,) = ended.stderr.splitlines()
    assert line.startswith("staging-api: ")
    for each in words:
        assert each in line


@contextmanager
def taken(at: str) -> Iterator[str]:
    """Yield an address at which another program listens."""
    if at.startswith("unix:"):
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(at.removeprefix("unix:"))
            other.listen()
            yield at
        return
    with socket.create_server(("127.0.0.1", 0)) as other:
        yield at.format(port=other.getsockname()[1])


@pytest.mark.parametrize(
    ("verb", "setting", "at"),
    [
        ("serve", "BIND", "127.0.0.1:{port}"),
        ("serve", "WORKER_BIND", "127.0.0.1:{port}"),
        ("api", "BIND", "unix:{folder}/api"),
        ("api", "PROBES_BIND", "localhost:{port}"),
        ("worker", "WORKER_BIND", "0.0.0.0:{port}"),
    ],
)
def test_an_address_that_another_program_has_is_named(
    verb: str, setting: str, at: str, own_url: str, tmp_path: Path
) -> None:
    database = {} if verb == "serve" else {"DATABASE_URL": own_url}
    with taken(at.replace("{folder}", str(tmp_path))) as bind:
        ended = run(verb, tmp_path, **database, **{setting: bind})
    assert_one_line(ended, TAKEN, f"STAGING_{setting}", bind)
    assert not (tmp_path / "home").exists(), "something was started"


def taken_elsewhere() -> None:
    raise SystemExit(TAKEN_STATUS)


def live() -> None:
    while True:
        signal.pause()


def test_all_end_when_the_address_of_one_is_taken() -> None:
    children = Children({"living": live, "ending": taken_elsewhere})
    with pytest.raises(SystemExit) as ended:
        children.run()
    assert ended.value.code == TAKEN_STATUS == TAKEN
    assert children._runs["living"].process.exitcode == -signal.SIGTERM


def test_a_child_that_ends_at_once_is_started_again_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(children_module, "_RESTART_SECONDS", 0.01)
    monkeypatch.setattr(children_module, "_LONGEST_PAUSE_SECONDS", 0.32)
    started = tmp_path / "started"

    def end() -> None:
        with started.open("a") as file:
            file.write("x")
        raise SystemExit(1)

    children = Children({"ending": end, "living": live})
    thread = threading.Thread(target=children.run)
    thread.start()
    eventually(lambda: len(children._runs) == 2, "they are not started")
    eventually(lambda: children._runs["ending"].pause_seconds == 0.32, "it does not grow")
    assert len(started.read_text()) >= 5
    assert children._runs["living"].pause_seconds == 0.01
    assert children._runs["living"].process.is_alive()
    children._stopping.set()
    thread.join()
    assert children._runs["living"].process.exitcode == -signal.SIGTERM


def test_what_the_system_refuses_is_an_error_of_one_line() -> None:
    for error in (OSError(24, "Too many open files"), RuntimeError("can't start new thread")):
        with pytest.raises(Unavailable, match="cannot start"), startup_errors():
            raise error
    with pytest.raises(RuntimeError, match="a fault of ours"), startup_errors():
        raise RuntimeError("a fault of ours")


@pytest.mark.parametrize(
    "words",
    [
        ("psql", "-c", "SELECT 1"),
        ("audit", "verify"),
        ("audit", "staged-by", "caller=ci"),
        ("prune", "--dry-run"),
        ("rotate-keys",),
        ("adopt-store",),
    ],
    ids=" ".join,
)
def test_a_verb_that_reads_makes_no_database_where_none_was(
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "never"
    monkeypatch.setenv("STAGING_HOME", str(home))
    monkeypatch.setenv("STAGING_DATABASE_URL", "")
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == REFUSED
    (line,) = capsys.readouterr().err.splitlines()
    assert f"there is no database in {home}" in line
    assert not home.exists()
