"""A decorated no-op over HTTP, beside a bare resource that commits two statements."""

import http.client
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import falcon
from falcon import App, Request, Response

from benchmarks.lock.measure import Figure
from staging_api.db.engine import Database, open_database
from staging_api.http.api_lock import api_lock
from staging_api.http.problems import add_error_handlers
from staging_api.locks.hold import Locks
from staging_api.locks.keeper import LeaseKeeper
from staging_api.locks.model import ARCHIVE, LockKind
from staging_api.locks.queue import WaitQueue

_CLIENTS = 4


def scope_of(_resource: Any, req: Request, _kind: LockKind) -> str:
    """Return the scope of a request: one per client."""
    return req.get_param("scope", required=True)


class Locked:
    """A resource whose only work is to hold the lock."""

    wait_cap_seconds = 1.0

    def __init__(self, locks: Locks) -> None:
        """Hold locks of this process."""
        self.locks = locks

    @api_lock(ARCHIVE, scope=scope_of)
    def on_post(self, req: Request, resp: Response) -> None:
        """Do nothing."""
        resp.status = falcon.HTTP_204


class Bare:
    """A resource that commits two small statements."""

    def __init__(self, database: Database) -> None:
        """Use this database."""
        self.database = database

    def on_post(self, req: Request, resp: Response) -> None:
        """Change one row, twice."""
        name = req.get_param("scope", required=True)
        for _ in range(2):
            with self.database.connect() as conn:
                conn.exec_driver_sql("UPDATE shed SET locked_by = 'web' WHERE name = %s", (name,))
        resp.status = falcon.HTTP_204


class CallerName:
    """Middleware in the place of authentication."""

    def process_resource(
        self, req: Request, _resp: Response, _resource: object, _params: object
    ) -> None:
        """Set the caller's name."""
        req.context.caller, req.context.reference_id = "bench", None


def application() -> App[Any, Any]:
    """Return an application with the two resources; gunicorn calls this in its worker."""
    url = os.environ["BENCHMARK_DATABASE_URL"]
    database = open_database(url, 8)
    queue = WaitQueue(database, url, threading.BoundedSemaphore(4))
    locks = Locks(database, LeaseKeeper(open_database(url, 1)), queue, "bench", 60.0)
    app: App[Any, Any] = App(middleware=[CallerName()])
    add_error_handlers(app)
    app.add_route("/locked", Locked(locks))
    app.add_route("/bare", Bare(database))
    return app


def requests_per_second(url: str, rounds: int, seconds: float) -> dict[str, Figure]:
    """Return the requests per second of both resources, under gunicorn with threads."""
    found: dict[str, list[float]] = {"locked": [], "bare": []}
    with _gunicorn(url) as port:
        for name in found:
            _load(port, f"/{name}", seconds)  # warms up: opens the connections
        for _ in range(rounds):
            for name, values in found.items():
                values.append(_load(port, f"/{name}", seconds))
    return {name: Figure(tuple(values)) for name, values in found.items()}


@contextmanager
def _gunicorn(url: str) -> Iterator[int]:
    port = 18_517
    command = [sys.executable, "-m", "gunicorn", "-k", "gthread", "-w", "1", "--threads", "8"]
    server = subprocess.Popen(
        [*command, "-b", f"127.0.0.1:{port}", "benchmarks.lock.web:application()"],
        env={**os.environ, "BENCHMARK_DATABASE_URL": url},
        stderr=subprocess.DEVNULL,
    )
    try:
        _until_open(port)
        yield port
    finally:
        server.terminate()
        server.wait()


def _until_open(port: int) -> None:
    for _ in range(200):
        try:
            http.client.HTTPConnection("127.0.0.1", port, timeout=5).connect()
        except OSError:
            time.sleep(0.05)
        else:
            return


def _load(port: int, path: str, seconds: float) -> float:
    done: list[int] = []
    end = time.perf_counter() + seconds

    def client(number: int) -> None:
        conn = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        count = 0
        while time.perf_counter() < end:
            conn.request("POST", f"{path}?scope=s{number}")
            answer = conn.getresponse()
            answer.read()
            assert answer.status == 204, answer.status
            count += 1
        done.append(count)

    threads = [threading.Thread(target=client, args=(n,)) for n in range(_CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done) / seconds
