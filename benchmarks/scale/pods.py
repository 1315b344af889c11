"""Real pods on one PostgreSQL: their load on it, idle and with requests, to validate the model."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg2
from sqlalchemy import make_url

from benchmarks.bench import free_port, wait_for
from benchmarks.scale.measure import cpu_of, cpu_since
from benchmarks.scale.model import Cost
from staging_api.client import Staging, StagingClient
from staging_api.embedded_postgres.server import EmbeddedServer

#: Clients of each pod in the run with requests: two polls and a post in turn.
POLLS_PER_SECOND, POSTS_PER_SECOND = 20.0, 10.0
_SETTLE_SECONDS = 3.0
#: A difference of two measurements below their noise.
LEAST_SECONDS = 1e-6


@dataclass(frozen=True)
class Taken:
    """Load of a number of pods on PostgreSQL.

    Attributes:
        cpu: processors that it kept busy.
        commits: transactions a second.
        connections: sessions at the end.
        asked: answered requests per second; 0: the pods were idle.
    """

    pods: int
    cpu: float
    commits: float
    connections: int
    asked: float = 0.0


@contextmanager
def pods(
    count: int, server: EmbeddedServer, folder: Path, builds: Path, *, worker: bool = True
) -> Iterator[Sequence[str]]:
    """Run `count` pods, each an API process with or without a worker; yield their URLs."""
    verb = ["serve", "--worker" if worker else "--no-worker"]
    with ExitStack() as running:
        urls = []
        for number in range(count):
            bind = f"127.0.0.1:{free_port()}"
            clean = {k: v for k, v in os.environ.items() if not k.startswith("STAGING_")}
            env = {
                **clean,
                "STAGING_BIND": bind,
                "STAGING_HOME": str(folder / f"pod{number}"),
                "STAGING_STORE": f"file://{folder / 'store'}",
                "STAGING_DATABASE_URL": server.url,
                "STAGING_SOURCES": f"file://{builds}/",
                "STAGING_CATALOGUE": "everything",
                "STAGING_WORKERS": "1",
            }
            process = running.enter_context(_process(verb, env))
            urls.append((f"http://{bind}", process))
        for url, process in urls:
            wait_for(f"{url}/readyz", process)
        yield [url for url, _ in urls]


@contextmanager
def _process(verb: Sequence[str], env: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    command = [sys.executable, "-m", "staging_api", *verb]
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


def staged(url: str, archive_url: str) -> Staging:
    """Stage a build of the folder `builds`."""
    with StagingClient(url) as client:
        return client.stage(archive_url)


def taken(
    urls: Sequence[str], server: EmbeddedServer, staging: Staging | None, seconds: float
) -> Taken:
    """Measure the pods while they are idle; or, given a staging, while clients send requests."""
    time.sleep(min(seconds, _SETTLE_SECONDS))
    stop, answers = threading.Event(), [0] * len(urls)
    threads = [
        threading.Thread(target=_ask, args=(url, staging, stop, answers, number))
        for number, url in enumerate(urls if staging is not None else ())
    ]
    for thread in threads:
        thread.start()
    commits, cpu, began = _commits(server.url), cpu_of(server.postmaster_pid), time.perf_counter()
    time.sleep(seconds)
    spent, passed = cpu_since(cpu, server.postmaster_pid), time.perf_counter() - began
    asked = sum(answers) / passed
    done = (_commits(server.url) - commits) / passed
    stop.set()
    for thread in threads:
        thread.join()
    return Taken(len(urls), spent / passed, done, _sessions(server.url), asked)


def _ask(
    url: str, staging: Staging, stop: threading.Event, answers: list[int], number: int
) -> None:
    every = 1 / (POLLS_PER_SECOND + POSTS_PER_SECOND)
    with StagingClient(url) as client:
        due, turn = time.monotonic(), 0
        while not stop.is_set():
            if turn % 3 == 0:
                client.stage(staging.archive_url)
            else:
                client.staging(staging.id)
            answers[number] += 1
            turn += 1
            due = max(due + every, time.monotonic() - every)
            stop.wait(max(0.0, due - time.monotonic()))


def cost_of_requests(
    call: Callable[[], object], server: EmbeddedServer, idle: float, times: int
) -> Cost:
    """Return PostgreSQL's cost of a request; `idle` is its load without any, in s per second."""
    for _ in range(max(3, times // 10)):
        call()
    cpu, began = cpu_of(server.postmaster_pid), time.perf_counter()
    for _ in range(times):
        call()
    spent, passed = cpu_since(cpu, server.postmaster_pid), time.perf_counter() - began
    return Cost(max(LEAST_SECONDS, (spent - idle * passed) / times))


def _commits(url: str) -> int:
    # PostgreSQL adds the figures of a session some seconds later, at most.
    return _one(url, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")


def _sessions(url: str) -> int:
    return _one(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
    )


def _one(url: str, question: str) -> int:
    given = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    with closing(psycopg2.connect(given)) as conn:
        cursor = conn.cursor()
        cursor.execute(question)
        return int(cursor.fetchall()[0][0])
