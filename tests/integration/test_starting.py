"""Processes that cannot start: one line, a documented exit code, and no storm of new ones."""

import os
import resource
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from sqlalchemy import make_url, text

from staging_api import serving
from staging_api.cli.exits import FAILED, TAKEN, UNREACHABLE
from staging_api.db.engine import open_database
from staging_api.errors import Unavailable
from staging_api.scarcity import starting
from staging_api.serving import TAKEN_STATUS, Children
from tests.service import Pod, eventually, free_port, service, wait_until_ready

Ended = subprocess.CompletedProcess[str]


def run(verb: str, folder: Path, **settings: str) -> Ended:
    """One of our verbs, which ends by itself."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("STAGING_")}
    given = {
        "HOME": str(folder / "home"),
        "BIND": f"127.0.0.1:{free_port()}",
        "STORE": f"file://{folder}/store",
        **settings,
    }
    return subprocess.run(
        [sys.executable, "-m", "staging_api", verb],
        env={**inherited, **{f"STAGING_{name}": value for name, value in given.items()}},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def assert_one_line(ended: Ended, status: int, *words: str) -> None:
    assert ended.returncode == status, ended
    (line,) = ended.stderr.splitlines()
    assert line.startswith("staging-api: ")
    for each in words:
        assert each in line


@contextmanager
def taken(at: str) -> Iterator[str]:
    """An address at which another program listens."""
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


def test_an_address_that_is_let_go_in_a_moment_is_waited_for(own_url: str, tmp_path: Path) -> None:
    bind = f"127.0.0.1:{free_port()}"
    with service(tmp_path, own_url) as pods:
        with socket.create_server(("127.0.0.1", int(bind.rpartition(":")[2]))) as other:
            pod = pods.start("api", bind)
            threading.Timer(2, other.close).start()
            wait_until_ready(pod)


def without_permission(url: str) -> str:
    with closing(open_database(url, 1)) as database, database.connect() as conn:
        conn.execute(text("DROP ROLE IF EXISTS stranger"))
        conn.execute(text("CREATE ROLE stranger LOGIN"))
    return make_url(url).set(username="stranger").render_as_string(hide_password=False)


def of_another_service(url: str) -> str:
    with closing(open_database(url, 1)) as database, database.connect() as conn:
        conn.execute(text("UPDATE alembic_version SET version_num = 'f00'"))
    return url


def without_its_rows(url: str) -> str:
    with closing(open_database(url, 1)) as database, database.connect() as conn:
        conn.execute(text("DELETE FROM alembic_version"))
    return url


def gone(url: str) -> str:
    return make_url(url).set(database="gone").render_as_string(hide_password=False)


UNUSABLE: Mapping[str, tuple[Callable[[str], str], int, str]] = {
    "no permission": (without_permission, UNREACHABLE, "permission"),
    "not there": (gone, UNREACHABLE, "no such database"),
    "of another service": (of_another_service, FAILED, "f00"),
    "never migrated": (without_its_rows, FAILED, "staging-api migrate"),
}


@pytest.mark.parametrize(("verb", "name"), [*zip(("api", "worker") * 2, UNUSABLE, strict=True)])
def test_a_database_that_cannot_be_used_is_told_in_one_line(
    verb: str, name: str, own_url: str, tmp_path: Path
) -> None:
    spoil, status, words = UNUSABLE[name]
    assert_one_line(run(verb, tmp_path, DATABASE_URL=spoil(own_url)), status, words)


def test_a_server_that_is_no_postgresql_is_told_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            conn, _ = other.accept()
            conn.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            conn.close()

        threading.Thread(target=answer, daemon=True).start()
        url = f"postgresql://127.0.0.1:{other.getsockname()[1]}/staging"
        ended = run("worker", tmp_path, DATABASE_URL=url)
    assert_one_line(ended, UNREACHABLE)


@pytest.fixture
def ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Handlers of signals, which `Children` takes."""
    for number in (signal.SIGTERM, signal.SIGINT):
        monkeypatch.setattr(serving, "_on_stop", lambda _stop: None)
        assert signal.getsignal(number) is not None


def close(children: Children) -> None:
    for life in children._lives.values():
        assert life.process.stdin is not None
        life.process.stdin.close()


@pytest.mark.usefixtures("ours")
def test_all_end_when_the_address_of_one_is_taken() -> None:
    ending = [sys.executable, "-c", f"raise SystemExit({TAKEN_STATUS})", "--"]
    living = [sys.executable, "-c", "import sys; sys.stdin.read()", "--"]
    children = Children([living, ending])
    with pytest.raises(SystemExit) as ended:
        children.run()
    assert ended.value.code == TAKEN_STATUS == TAKEN
    close(children)


@pytest.mark.usefixtures("ours")
def test_a_child_that_ends_at_once_is_started_again_ever_more_rarely(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_RESTART_SECONDS", 0.01)
    monkeypatch.setattr(serving, "_LONGEST_PAUSE_SECONDS", 0.32)
    started = tmp_path / "started"
    code = f"open({str(started)!r}, 'a').write('x'); raise SystemExit(1)"
    living = [sys.executable, "-c", "import sys; sys.stdin.read()", "--"]
    children = Children([[sys.executable, "-c", code, "--"], living])
    thread = threading.Thread(target=children.run)
    thread.start()
    eventually(lambda: len(children._lives) == 2, "they are not started")
    eventually(lambda: children._lives[0].pause_seconds == 0.32, "it does not grow")
    assert len(started.read_text()) >= 5
    assert children._lives[1].pause_seconds == 0.01
    assert children._lives[1].process.poll() is None
    children._stopping.set()
    thread.join()
    close(children)


def test_what_the_system_refuses_is_an_error_of_one_line() -> None:
    for error in (OSError(24, "Too many open files"), RuntimeError("can't start new thread")):
        with pytest.raises(Unavailable, match="cannot start"), starting():
            raise error
    with pytest.raises(RuntimeError, match="a fault of ours"), starting():
        raise RuntimeError("a fault of ours")


def children_of(pod: Pod) -> list[int]:
    found = Path(f"/proc/{pod.process.pid}/task/{pod.process.pid}/children").read_text()
    return [int(pid) for pid in found.split()]


@pytest.mark.parametrize(
    ("room", "said"), [(0, "no process can be started"), (4, "this process cannot start")]
)
def test_a_process_without_descriptors_does_not_end_the_others(
    room: int, said: str, own_url: str, tmp_path: Path
) -> None:
    with service(tmp_path, own_url, workers="2") as pods:
        (pod,) = pods.api()
        parent = pod.process.pid
        before = resource.prlimit(parent, resource.RLIMIT_NOFILE)
        used = len(list(Path(f"/proc/{parent}/fd").iterdir()))
        first, second = children_of(pod)
        resource.prlimit(parent, resource.RLIMIT_NOFILE, (used + room, used + room))
        pod.kill_one(first)
        pod.wait_for_log(said)
        assert pod.client.get("/readyz").status == 200
        assert second in children_of(pod)
        resource.prlimit(parent, resource.RLIMIT_NOFILE, before)
        eventually(lambda: len(children_of(pod)) == 2, "no other is started")
        pod.kill_one(second)
        wait_until_ready(pod)
    assert "Traceback" not in pod.log.read_text()
