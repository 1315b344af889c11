"""Processes of `serve`: forked without threads and connections, restarted, never orphaned."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
import urllib3

from tests.databases import Migrated
from tests.service import STAGINGS, Client, eventually, free_port

#: Threads and connections of a process before each fork, written by the process from /proc.
PROGRAM = """
import json, os, socket, sys

def looked():
    sockets, listening = 0, 0
    for name in os.listdir("/proc/self/fd"):
        try:
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as one:
                listening += one.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
            sockets += 1
        except FileNotFoundError:
            pass
    tops = sorted({name.partition(".")[0] for name in sys.modules})
    return {
        "pid": os.getpid(), "threads": len(os.listdir("/proc/self/task")),
        "connections": sockets - listening, "modules": tops,
    }

def note():
    with open(os.environ["NOTED"], "a") as file:
        file.write(json.dumps(looked()) + "\\n")

os.register_at_fork(before=note)
from staging_api.cli import main
main(["serve", "--worker"])
"""
#: The metric of lists of stagings.
LISTED = 'staging_requests_total{method="GET",route="/api/v1.0/stagings",status="200"}'
#: Modules imported only where needed: for migrations, pages, tokens, documents, buckets.
NOT_BEFORE_A_FORK = {
    "alembic",
    "cryptography",
    "jinja2",
    "joserfc",
    "jsonschema",
    "obstore",
    "opentelemetry",
    "regex",
    "urllib3",
}


@dataclass(frozen=True)
class Serving:
    """A running `serve`: its parent process, and the notes made before each fork."""

    parent: "subprocess.Popen[bytes]"
    noted: Path
    client: Client
    worker_metrics: str

    @property
    def forks(self) -> list[Mapping[str, object]]:
        """Return the notes, one for each fork so far."""
        return [json.loads(line) for line in self.noted.read_text().splitlines()]

    def pids(self) -> Mapping[str, list[int]]:
        """Return the processes below the parent: the API's parent, API processes, worker."""
        below = children(self.parent.pid)
        (api,) = [pid for pid in below if children(pid)]
        return {"api": [api], "processes": children(api), "worker": [p for p in below if p != api]}


def children(pid: int) -> list[int]:
    """Return the current children of a process."""
    found: list[int] = []
    with suppress(FileNotFoundError, ProcessLookupError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError, ProcessLookupError):
                found += map(int, (task / "children").read_text().split())
    return sorted(found)


def lives(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def serving(migrated: Migrated, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """Yield processes for all tests that need the parent alive; the last test ends them."""
    with started(migrated, tmp_path_factory.mktemp("shared")) as made:
        yield made


@pytest.fixture
def own(migrated: Migrated, tmp_path: Path) -> Iterator[Serving]:
    """Yield processes for a test that kills the parent."""
    with started(migrated, tmp_path) as made:
        yield made


@contextmanager
def started(migrated: Migrated, folder: Path) -> Iterator[Serving]:
    """Start the program on a database of its own, and yield it when all processes are ready."""
    with migrated() as url:
        bind, worker_bind = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("STAGING_")}
        env = {
            **clean,
            "NOTED": str(folder / "noted"),
            "STAGING_DATABASE_URL": url,
            "STAGING_HOME": str(folder / "home"),
            "STAGING_BIND": bind,
            "STAGING_WORKER_BIND": worker_bind,
            "STAGING_WORKERS": "2",
        }
        with (folder / "log").open("wb") as log:
            parent = subprocess.Popen([sys.executable, "-c", PROGRAM], env=env, stderr=log)
        made = Serving(parent, folder / "noted", Client(f"http://{bind}"), worker_bind)
        try:
            eventually(lambda: is_ready(made), "it does not get ready")
            yield made
        finally:
            parent.terminate()
            parent.wait(60)


def is_ready(serving: Serving) -> bool:
    """Return whether all processes are ready: two API processes, and a worker that answers."""
    assert serving.parent.poll() is None, "it ended"
    try:
        if serving.client.get("/readyz").status != 200:
            return False
        urllib3.request("GET", f"http://{serving.worker_metrics}/livez", retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return len(serving.pids()["processes"]) == 2


def counted(serving: Serving) -> float:
    """Return how many lists of stagings the API processes have sent, by their metrics."""
    lines = serving.client.get("/metrics").body.decode().splitlines()
    return sum(float(line.removeprefix(LISTED)) for line in lines if line.startswith(LISTED))


def test_nothing_is_forked_that_has_threads_or_connections(serving: Serving) -> None:
    before, forks = serving.pids(), len(serving.forks)
    assert forks >= 4
    (worker,) = before["worker"]
    (process, _) = before["processes"]
    os.kill(worker, signal.SIGKILL)
    os.kill(process, signal.SIGKILL)
    eventually(
        lambda: is_ready(serving) and worker not in serving.pids()["worker"] != [],
        "no other worker is started",
    )
    eventually(lambda: process not in serving.pids()["processes"], "no other process is started")
    after = serving.pids()
    assert after["api"] == before["api"], "what lived was started again"
    # One for each process that was killed.
    assert len(serving.forks) == forks + 2
    by = {fork["pid"] for fork in serving.forks}
    assert by == {serving.parent.pid, *after["api"]}
    for fork in serving.forks:
        assert (fork["threads"], fork["connections"]) == (1, 0), fork
        assert not NOT_BEFORE_A_FORK.intersection(fork["modules"])  # type: ignore[arg-type]


def test_no_process_outlives_a_parent_that_is_killed(own: Serving) -> None:
    pids = [pid for group in own.pids().values() for pid in group]
    assert len(pids) == 4
    own.parent.kill()
    own.parent.wait()
    eventually(lambda: not any(map(lives, pids)), "a process is left")


def test_no_process_outlives_both_parents_that_are_killed(own: Serving) -> None:
    found = own.pids()
    os.kill(own.parent.pid, signal.SIGSTOP)  # or the parent would start another
    for pid in (*found["api"], own.parent.pid):
        os.kill(pid, signal.SIGKILL)
    own.parent.wait()
    left = [*found["processes"], *found["worker"]]
    eventually(lambda: not any(map(lives, left)), "a process is left")


def test_each_kind_of_process_counts_for_itself(serving: Serving) -> None:
    before = counted(serving)
    for _ in range(20):
        assert serving.client.get(STAGINGS).status == 200
    assert counted(serving) == before + 20
    of_worker = urllib3.request("GET", f"http://{serving.worker_metrics}/metrics").data.decode()
    assert "staging_locks_held" in of_worker
    assert LISTED not in of_worker


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGABRT], ids=["end", "abort"])
def test_a_process_that_ends_leaves_what_the_others_share(
    serving: Serving, number: signal.Signals
) -> None:
    before = counted(serving)
    for _ in range(20):
        assert serving.client.get(STAGINGS).status == 200
    (process, other) = serving.pids()["processes"]
    os.kill(process, number)
    eventually(
        lambda: process not in serving.pids()["processes"] and is_ready(serving),
        "no other process is started",
    )
    assert other in serving.pids()["processes"]
    for _ in range(20):
        assert serving.client.get(STAGINGS).status == 200
    assert counted(serving) == before + 40


def test_new_processes_after_a_hangup_count_and_log_as_those_before(serving: Serving) -> None:
    requests = counted(serving)
    log, found = serving.noted.parent / "log", serving.pids()
    assert serving.client.get(STAGINGS).status == 200
    os.kill(found["api"][0], signal.SIGHUP)
    eventually(
        lambda: (
            not {*found["processes"]}.intersection(serving.pids()["processes"])
            and is_ready(serving)
        ),
        "no other processes are started",
    )
    before = log.read_text().count(f"GET {STAGINGS} 200")
    assert serving.client.get(STAGINGS).status == 200
    assert counted(serving) == requests + 2
    eventually(
        lambda: log.read_text().count(f"GET {STAGINGS} 200") == before + 1, "it was not logged"
    )


def test_sigterm_ends_all_processes(serving: Serving) -> None:
    pids = [pid for group in serving.pids().values() for pid in group]
    serving.parent.terminate()
    assert serving.parent.wait(60) == 0
    assert not any(map(lives, pids))
