"""A migration beside a one-minute reader, while pods of the previous version serve requests."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
import urllib3
from sqlalchemy import make_url

from tests import version_before
from tests.builds import build, build_path
from tests.databases import new_database
from tests.integration.test_migrate import environment
from tests.service import API, Pod, eventually, service
from tests.source import archive_source

#: Schema version before the migration step that locks nine tables in use.
BEFORE = "0012"
READER_SECONDS = 60.0
#: Longest time that a request may wait for the migration.
LONGEST_SECONDS = 1.0

#: Status of the response to a request for staged artifacts.
STAGED = 200
# Of another version than the contract against which tests check responses.
POOL = urllib3.PoolManager(maxsize=16, retries=False, timeout=120)

Request = Callable[[], int]


@pytest.mark.prove
@pytest.mark.timeout(600)
def test_no_request_waits_longer_than_a_second(database_url: str, tmp_path: Path):
    code = version_before.unpacked(tmp_path / "before", BEFORE)
    objects = build("load")
    with new_database(database_url) as url, archive_source() as source:
        migrate = [sys.executable, "-m", "staging_api", "migrate"]
        subprocess.run(migrate, cwd=code, env=environment(url, tmp_path), check=True)
        archive = source.add(build_path(), objects)
        with service(tmp_path, url, f"{source.url}/") as pods:
            pods.code = code
            pod, _ = pods.api()[0], pods.worker()
            stage = staging_of(pod, archive)
            eventually(lambda: stage() == STAGED, "it is not staged")
            path = f"/static/{'/'.join(archive.split('/')[3:])}/update.gz"
            load = Load([*readers(pod, path), stage])
            with closing(psycopg2.connect(plain(url))) as reader:
                read_everything(reader)
                load.start()
                running = subprocess.Popen(migrate, env=environment(url, tmp_path))
                assert not load.stop.wait(READER_SECONDS)
                assert running.poll() is None, "the migration did not need what is read"
                load.finish()
            assert running.wait(60) == 0
    print(f"{load.count} requests, the longest took {load.longest_seconds:.2f} s")
    assert not load.failures, load.failures[:5]
    assert load.longest_seconds < LONGEST_SECONDS


def readers(pod: Pod, path: str) -> list[Request]:
    paths = [path, f"{API}/stagings", f"{API}/artifacts", f"{API}/locks", "/readyz"]
    return [lambda url=pod.url + path: POOL.request("GET", url).status for path in paths]  # type: ignore[misc]


def staging_of(pod: Pod, archive: str) -> Request:
    """Return a request for the archive; its response is `STAGED` once everything is staged."""

    def stage() -> int:
        asked = {"archive_url": archive, "artifacts": ["full_payload"]}
        return POOL.request("POST", f"{pod.url}{API}/stagings", json=asked).status

    return stage


def plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def read_everything(conn: "psycopg2.extensions.connection") -> None:
    """Begin a transaction like that of a dump of the whole database."""
    with conn.cursor() as cursor:
        cursor.execute(
            "SELECT format('LOCK TABLE %s IN ACCESS SHARE MODE', oid::regclass)"
            " FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
        )
        for (statement,) in cursor.fetchall():
            cursor.execute(statement)


class Load:
    """Clients that each repeat one kind of request."""

    def __init__(self, requests: list[Request]) -> None:
        self.count = 0
        self.longest_seconds = 0.0
        self.failures: list[str] = []
        self.stop = threading.Event()
        self._clients = [threading.Thread(target=self._send, args=(each,)) for each in requests]

    def start(self) -> None:
        for client in self._clients:
            client.start()

    def finish(self) -> None:
        self.stop.set()
        for client in self._clients:
            client.join()

    def _send(self, request: Request) -> None:
        while not self.stop.is_set():
            began = time.monotonic()
            status = request()
            self.longest_seconds = max(self.longest_seconds, time.monotonic() - began)
            self.count += 1
            if status >= 500:
                self.failures.append(f"status {status}")
            # A pause: the capacity of the machine is not measured.
            self.stop.wait(0.05)
