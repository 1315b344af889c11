"""The service as processes: pods that can be killed and frozen, and an API client.

A pod is one API server with one worker process, or one staging worker, in its own process group:
signals to the group simulate events that hit a whole pod.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import urllib3

from tests import contract
from tests.fork_server import ForkedProcess, fork_server
from tests.source import PATIENCE_SECONDS

API = "/api/v1.0"
STAGINGS = f"{API}/stagings"
Process = subprocess.Popen[bytes] | ForkedProcess
#: Short enough for a test to wait for its expiry, long enough to survive on a busy machine.
LEASE_SECONDS = 2.0


@dataclass(frozen=True)
class Answer:
    """A response of a pod."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON of the body."""
        return json.loads(self.body)

    @property
    def problem(self) -> tuple[int, str]:
        """Status and error code of a refusal."""
        return self.status, self.json["code"]


class Client:
    """Client of one pod that checks each response against the OpenAPI document.

    Attributes:
        of_this_version: whether the pod runs this version; other versions have other documents.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.of_this_version = True
        contract.of_this_version()  # built now: several threads cannot build it concurrently
        self._pool = urllib3.PoolManager(
            maxsize=64, retries=False, timeout=urllib3.Timeout(PATIENCE_SECONDS)
        )

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request, and return its response."""
        got = self._pool.request(method, self.url + path, body=body, headers=dict(headers or {}))
        answer = Answer(got.status, got.headers, got.data)
        if method != "HEAD" and self.of_this_version:
            media = got.headers.get("Content-Type", "")
            contract.check(method, path.split("?", maxsplit=1)[0], got.status, media, got.data)
        assert "X-Request-Id" in got.headers
        return answer

    def hang_up(self) -> None:
        """Close the idle connections, because a pod that stops waits for them."""
        for key in self._pool.pools.keys():  # noqa: SIM118 - it cannot be iterated over
            self._pool.pools[key].close()

    def get(self, path: str, **headers: str) -> Answer:
        """Send a GET; headers are named with ``_`` for ``-``."""
        return self.send("GET", path, None, _named(headers))

    def delete(self, path: str, json_body: object = None) -> Answer:
        """Send a DELETE."""
        if json_body is None:
            return self.send("DELETE", path)
        return self.send("DELETE", path, json.dumps(json_body).encode(), _JSON)

    def post(self, path: str, json_body: object, **headers: str) -> Answer:
        """Send a POST with JSON; headers are named with ``_`` for ``-``."""
        return self.send("POST", path, json.dumps(json_body).encode(), _JSON | _named(headers))

    def stage(self, archive_url: str, *artifacts: str, **headers: str) -> Answer:
        """Request artifacts of an archive; its build, if no artifact is named."""
        wanted = {"artifacts": list(artifacts)} if artifacts else {}
        return self.post(STAGINGS, {"archive_url": archive_url, **wanted}, **headers)

    def stage_in_the_end(self, archive_url: str, *artifacts: str) -> Answer:
        """Request artifacts, and retry after Retry-After as long as a lock is held."""
        answer = self.stage(archive_url, *artifacts)
        deadline = time.monotonic() + PATIENCE_SECONDS
        while answer.status == 409 and time.monotonic() < deadline:
            time.sleep(float(answer.headers["Retry-After"]))
            answer = self.stage(archive_url, *artifacts)
        return answer

    def wait(self, location: str, *states: str) -> Any:
        """Follow a staging by long polls until it is in one of these states."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        answer = self.get(location)
        while answer.json["state"] not in states:
            assert time.monotonic() < deadline, f"still {answer.json}"
            known = {"If_None_Match": answer.headers["ETag"]}
            news = self.get(location, Prefer="wait=5", **known)
            answer = answer if news.status == 304 else news
        return answer.json


@dataclass
class Pod:
    """One pod of the service: a process group."""

    process: "Process"
    log: Path
    url: str = ""
    verb: str = "api"
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = Client(self.url)

    def kill(self) -> None:
        """Kill the whole pod, as a loss of power does."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()
        self._hang_up()

    def kill_one(self, pid: int) -> None:
        """Kill one process of the pod; its other processes must react."""
        assert os.getpgid(pid) == self.process.pid, "not a process of this pod"
        os.kill(pid, signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to every process of the pod."""
        os.killpg(self.process.pid, number)

    def begin_to_stop(self) -> None:
        """Send SIGTERM."""
        if self.process.poll() is None:
            self.signal(signal.SIGCONT)
            self.process.terminate()

    def stop(self) -> None:
        """Stop the pod gracefully, and fail if it does not end."""
        self.begin_to_stop()
        try:
            self.process.wait(PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._hang_up()

    def _hang_up(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()

    def wait_for_log(self, words: str) -> None:
        """Wait until the pod has logged these words."""
        eventually(lambda: words in self.log.read_text(), f"the log has no {words!r}")


class Service:
    """The pods of one test: one database, one store, and some allowed sources.

    Attributes:
        code: the checkout from which further pods start; None: this one.
    """

    code: Path | None = None

    def __init__(
        self,
        folder: Path,
        database_url: str,
        *sources: str,
        environment: Mapping[str, str] | None = None,
        forked: bool | None = None,
        **settings: str,
    ) -> None:
        """Prepare a service.

        Args:
            folder: folder for the store, and a folder of each pod.
            database_url: URL of a migrated database.
            sources: allowed sources.
            environment: further variables of the pods' environment.
            forked: whether pods are forks of a process that has imported the service; None: unless
                an environment is given, with which they are started as users do.
            settings: settings of the pods that differ from those of tests.
        """
        self.store = folder / "store"
        self._forked = environment is None if forked is None else forked
        self._folder = folder
        self._pods: list[Pod] = []
        self._env = {
            "STAGING_DATABASE_URL": database_url,
            "STAGING_STORE": f"file://{self.store}",
            "STAGING_SOURCES": ",".join(sources),
            "STAGING_WORKERS": "1",
            "STAGING_DATABASE_POOL_SIZE": "8",
            "STAGING_LEASE_SECONDS": str(LEASE_SECONDS),
            "STAGING_SHUTDOWN_SECONDS": "5",
            # Files that a killed process cannot remove are removed with the test's folder.
            "TMPDIR": str(folder),
            **(environment or {}),
            **{f"STAGING_{name.upper()}": value for name, value in settings.items()},
        }

    def api(self, count: int = 1) -> list[Pod]:
        """Start API pods, and wait until they are ready."""
        pods = [self.start("api", f"127.0.0.1:{free_port()}") for _ in range(count)]
        for pod in pods:
            wait_until_ready(pod)
        return pods

    def worker(self) -> Pod:
        """Start a worker, and wait until it takes stagings."""
        pod = self.start("worker")
        pod.wait_for_log("stagings at once")
        return pod

    def kill(self) -> None:
        """Kill every pod."""
        for pod in self._pods:
            pod.kill()

    def close(self) -> None:
        """Stop every pod gracefully, all at the same time."""
        for pod in self._pods:
            pod.client.hang_up()
            pod.begin_to_stop()
        for pod in self._pods:
            pod.stop()

    def again(self, pod: Pod) -> Pod:
        """Start a pod with the kind and address of one that ended."""
        return self.start(pod.verb, pod.url.removeprefix("http://"))

    def start(self, verb: str, bind: str = "") -> Pod:
        """Start a pod without waiting until it is ready."""
        number = len(self._pods)
        home = self._folder / f"{verb}-{number}"
        home.mkdir()
        env = {**os.environ, **self._env, "STAGING_HOME": str(home), "STAGING_BIND": bind}
        log = home / "log"
        watched = [] if verb == "serve" else ["--with-parent"]
        env = env if bind else {k: v for k, v in env.items() if k != "STAGING_BIND"}
        with log.open("wb") as out:
            process = self._process([verb, *watched], env, out)
        self._pods.append(Pod(process, log, f"http://{bind}" if bind else "", verb))
        return self._pods[-1]

    def _process(self, arguments: list[str], env: Mapping[str, str], out: BinaryIO) -> Process:
        # If the tests die, the end of its input stops the pod, except `serve`, which users start.
        if self._forked and self.code is None and arguments[0] != "serve":
            return fork_server(arguments[0]).start(arguments, env, out)
        return subprocess.Popen(
            [sys.executable, "-m", "staging_api", *arguments],
            env=env,
            cwd=self.code,
            stdin=subprocess.PIPE,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


@contextmanager
def service(folder: Path, database_url: str, *sources: str, **settings: str) -> Iterator[Service]:
    """Yield a service without any pod."""
    made = Service(folder, database_url, *sources, environment=None, forked=None, **settings)
    try:
        yield made
    finally:
        made.close()


def eventually(true: Callable[[], bool], otherwise: str) -> None:
    """Wait until `true` holds, for conditions that no event announces.

    Most conditions ask a pod or the database: the pauses grow, so that few questions are asked.
    """
    pause, deadline = 0.02, time.monotonic() + PATIENCE_SECONDS
    while not true():
        assert time.monotonic() < deadline, otherwise
        time.sleep(pause)
        pause = min(1.25 * pause, 0.3)


def wait_until_ready(pod: Pod) -> None:
    """Wait until the pod serves requests."""

    def ready() -> bool:
        assert pod.process.poll() is None, pod.log.read_text()
        try:
            return pod.client.get("/readyz").status == 200
        except urllib3.exceptions.HTTPError:
            return False

    eventually(ready, f"{pod.url} did not get ready")


def free_port() -> int:
    """Return a port on which nothing listens at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


_JSON = {"Content-Type": "application/json"}


def _named(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}
