"""A pod that shuts down: its readiness ends first, then its work; every client gets a response."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import count
from pathlib import Path
from signal import SIGTERM

import pytest
import urllib3

from staging_api.db.engine import Database, open_database
from tests.builds import FULL_PAYLOAD, build, build_path
from tests.rows import check_store, select, states
from tests.service import STAGINGS, Answer, Pod, Service, eventually, service
from tests.source import ArchiveSource, Trick

NEVER = "3600"


@pytest.fixture
def own_rows(own_url: str) -> Iterator[Database]:
    """Its tables."""
    pools = open_database(own_url, pool_size=2)
    yield pools
    pools.close()


def pods_of(
    own_url: str, source: ArchiveSource, folder: Path, **settings: str
) -> AbstractContextManager[Service]:
    """Return a service whose leases outlive the test, so that a takeover proves a release."""
    return service(folder, own_url, f"{source.url}/", lease_seconds=NEVER, **settings)


def outcomes(rows: Database, url: str) -> list[str | None]:
    query = "SELECT outcome FROM api_locks WHERE scope = :u AND kind = 'archive' ORDER BY fence"
    return [outcome for (outcome,) in select(rows, query, u=url)]


def ready(pod: Pod) -> bool:
    return pod.client.get("/readyz").status == 200


def test_readiness_turns_first_and_requests_are_still_served(
    own_url: str, source: ArchiveSource, tmp_path: Path
) -> None:
    with service(tmp_path, own_url, drain_seconds=NEVER) as pods:
        (pod,) = pods.api()
        pod.process.terminate()
        eventually(lambda: not ready(pod), "it stays ready")
        assert "shutting down" in pod.client.get("/readyz").json["checks"]["process"]
        assert pod.client.get("/livez").status == 200
        assert pod.client.get(STAGINGS).status == 200
        pod.process.terminate()
        assert pod.process.wait(60) == 0


def test_a_running_request_is_answered(
    own_url: str, own_rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD, after_bytes=1000)
    with pods_of(own_url, source, tmp_path, shutdown_seconds="60") as pods:
        (pod,) = pods.api()
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(pod.client.stage, url)
            held.wait_until_reached()
            pod.process.terminate()
            pod.wait_for_log("Handling signal: term")
            held.release()
            assert asked.result().status == 201
        assert pod.process.wait(60) == 0
    assert outcomes(own_rows, url) == ["released"]


def test_a_request_that_outlives_the_shutdown_gets_retry_after_and_another_pod_goes_on(
    own_url: str, own_rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    url = source.add(build_path(), build(payload_bytes=2_000_000))
    source.play(url, FULL_PAYLOAD, Trick(bytes_per_second=100_000))
    with pods_of(own_url, source, tmp_path, shutdown_seconds="4") as pods:
        leaving, other = pods.api(2)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(leaving.client.stage, url)
            eventually(lambda: states(own_rows, url).get("full_payload") == "staging", "not begun")
            leaving.process.terminate()
            assert asked.result().problem == (503, "shutting_down")
            assert "Retry-After" in asked.result().headers
        assert states(own_rows, url)["full_payload"] == "pending"
        assert other.client.stage(url).status == 201
        assert leaving.process.wait(60) == 0
    assert outcomes(own_rows, url) == ["released", "released"]


def test_a_worker_stops_between_two_artifacts_and_another_one_does_the_rest(
    own_url: str, own_rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD, after_bytes=1000)
    with pods_of(own_url, source, tmp_path, shutdown_seconds="60") as pods:
        worker, (pod,) = pods.worker(), pods.api()
        asked = pod.client.stage(url, Prefer="respond-async")
        held.wait_until_reached()
        worker.process.send_signal(SIGTERM)
        held.release()
        assert worker.process.wait(60) == 0
        found = states(own_rows, url)
        # The foreground artifacts are staged side by side, so those of the background are left.
        assert (found["full_payload"], "pending" in found.values()) == ("staged", True)
        pods.worker()
        pod.client.wait(asked.headers["Location"], "staged")
    assert set(outcomes(own_rows, url)) == {"released"}


def test_a_worker_whose_source_hangs_gives_its_lock_back_in_time(
    own_url: str, own_rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    url = source.add(build_path(), build())
    held = source.hold(url, FULL_PAYLOAD, after_bytes=1000)
    with pods_of(own_url, source, tmp_path, shutdown_seconds="2") as pods:
        worker, (pod,) = pods.worker(), pods.api()
        asked = pod.client.stage(url, Prefer="respond-async")
        held.wait_until_reached()
        worker.process.send_signal(SIGTERM)
        # The source is held to the end, so the worker did not wait for it. Either the work stopped
        # by itself, or the locks of its threads were released.
        assert worker.process.wait(60) == 0
        assert "released" in outcomes(own_rows, url)[-1:]
        pods.worker()
        pod.client.wait(asked.headers["Location"], "staged")
        check_store(own_rows, pods.store)


def test_waiting_requests_do_not_keep_a_pod_from_ending(
    own_url: str, source: ArchiveSource, tmp_path: Path
) -> None:
    url = source.add(build_path(), build())
    with pods_of(own_url, source, tmp_path, shutdown_seconds="60") as pods:
        (pod,) = pods.api()
        asked = pod.client.stage(url, Prefer="respond-async")
        with ThreadPoolExecutor(1) as pool:
            polled = pool.submit(
                pod.client.get,
                asked.headers["Location"],
                Prefer="wait=60",
                If_None_Match=asked.headers["ETag"],
            )
            pod.process.terminate()
            assert polled.result().status in {200, 304}
        assert pod.process.wait(50) == 0


#: Between two requests of a client: the load shows every moment of a restart to some client.
PAUSE_SECONDS = 0.1


class Balancer:
    """Load balancer that, like a Kubernetes Service, uses only pods that were last seen ready."""

    def __init__(self, pods: list[Pod]) -> None:
        self.pods = list(pods)
        self.over = threading.Event()
        self.wrong: list[str] = []
        self.answered_by: list[Pod] = []
        self._turn = count()
        self._ready = list(pods)

    def watch(self) -> None:
        """Poll the readiness of every pod, several times while it drains."""
        while not self.over.wait(0.25):
            self._ready = [pod for pod in self.pods if _is_ready(pod)]

    def work(self, urls: list[str]) -> None:
        """Request and read builds until the test ends; record every bad response."""
        for number in self._turn:
            if self.over.wait(PAUSE_SECONDS):
                return
            self._send("POST", number, urls[number % len(urls)])
            self._send("GET", number, "")

    def wait_for_answers_of(self, pods: list[Pod]) -> None:
        """Wait until each of the pods has answered ten more requests."""
        before = len(self.answered_by)

        def enough() -> bool:
            urls = [pod.url for pod in self.answered_by[before:]]
            return all(urls.count(pod.url) >= 10 for pod in pods)

        eventually(enough, f"a pod gives no answers; wrong: {self.wrong}")

    def _send(self, method: str, number: int, url: str) -> None:
        ready_now = self._ready
        pod = ready_now[number % len(ready_now)]
        try:
            answer: Answer = pod.client.stage(url) if url else pod.client.get(STAGINGS)
        except urllib3.exceptions.HTTPError as error:
            self.wrong.append(f"{method} {pod.url}: {error!r}")
            return
        if answer.status >= 400 and "Retry-After" not in answer.headers:
            self.wrong.append(f"{method} {answer.status} {answer.body!r}")
        self.answered_by.append(pod)


def _is_ready(pod: Pod) -> bool:
    try:
        return pod.process.poll() is None and ready(pod)
    except urllib3.exceptions.HTTPError:
        return False


def test_a_rolling_restart_under_load_shows_no_client_an_error_without_a_retry(
    own_url: str, own_rows: Database, source: ArchiveSource, tmp_path: Path
) -> None:
    urls = [source.add(build_path(), build(str(n), payload_bytes=50_000)) for n in range(12)]
    settings = {"shutdown_seconds": "20", "drain_seconds": "2"}
    with pods_of(own_url, source, tmp_path, **settings) as pods:
        balancer = Balancer(pods.api(2))
        worker = pods.worker()
        with ThreadPoolExecutor(5) as pool:
            pool.submit(balancer.watch)
            load = [pool.submit(balancer.work, urls) for _ in range(4)]
            before = list(balancer.pods)
            new = pods.api(2)
            balancer.pods += new
            pods.worker()
            balancer.wait_for_answers_of(before)
            worker.process.terminate()
            for old in before:
                old.process.terminate()
                assert old.process.wait(60) == 0
                balancer.pods.remove(old)
            balancer.wait_for_answers_of(new)
            balancer.over.set()
        for thread in load:
            thread.result()
        assert balancer.wrong == []
        eventually(
            lambda: (
                {s for url in urls for s in states(own_rows, url).values()} <= {"staged", "missing"}
            ),
            "something is left undone",
        )
        check_store(own_rows, pods.store)
    query = "SELECT DISTINCT outcome FROM api_locks"
    assert select(own_rows, query) == [("released",)]


STOPPED_WHILE_A_LOCK_IS_HELD = """
import os, signal, threading
from staging_api.processes import signals
lock, stopped = threading.Lock(), threading.Event()

def stop():
    with lock:
        stopped.set()

signals.on_stop(stop)
with lock:
    os.kill(os.getpid(), signal.SIGTERM)
    # Any bytecode of the main thread lets a handler run.
    sum(range(10_000))
print(stopped.wait(30))
"""


def test_a_signal_stops_the_process_though_its_main_thread_holds_a_lock_that_stopping_needs():
    command = [sys.executable, "-c", STOPPED_WHILE_A_LOCK_IS_HELD]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout == "True\n"
