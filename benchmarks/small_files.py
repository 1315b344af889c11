"""Many small files: ours beside `tar xzf`, sha256sum and sync, and the effects on other clients.

    python -m benchmarks.small_files [--files 50000] [--rounds 5]
    python -m benchmarks.small_files --files 1000000 --rounds 1 --no-peer

Each round stages a different archive, with its own contents, from a folder of this machine, on one
service. The peer unpacks the same archive into a new folder, hashes each file and waits for the
disk. Nothing is deleted before the end; then the last artifact is evicted. Besides the times, it
prints the bytes of database log (WAL) per file, the maximum memory of a process of the service, the
longest observed writing transaction (sampled every 5 ms), and the waiting times of another client
for a small file during the staging.
"""

import argparse
import gzip
import io
import os
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

import psycopg2

from benchmarks import bench
from benchmarks.bench import Comparison, of_call
from benchmarks.staging import Service, peer, service
from staging_api.client import StagingClient

PEER = "tar xzf {tar}; find . -type f -print0 | xargs -0 sha256sum; sync -f ."
_NONE: Mapping[str, bytes] = MappingProxyType({})
WORD, ARTIFACT = "many.tgz", "member:many.tgz!/*"


@dataclass
class Meanwhile:
    """Observations during the staging of an archive.

    Attributes:
        seconds: durations of the calls of another client.
        longest: longest transaction of the service, in seconds.
    """

    seconds: list[float] = field(default_factory=list)
    longest: float = 0.0


def make_tar(file: Path, count: int, seed: int, others: Mapping[str, bytes] = _NONE) -> None:
    """Write a tar of files of some 15 bytes, in folders of a thousand, and of `others`."""
    with gzip.open(file, "wb", 1) as packed, tarfile.open(fileobj=packed, mode="w") as tar:
        for number in range(count):
            content = b"%d content %d" % (seed, number)
            folder, name = divmod(number, 1000)
            info = tarfile.TarInfo(f"tests/group{folder:04}/control.{name:04}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
            # `tarfile` keeps every header in memory.
            tar.members = []  # type: ignore[attr-defined]
        for path, content in others.items():
            info = tarfile.TarInfo(path)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))


def one_round(ours: Service, url: str, seen: Meanwhile, file: str) -> bench.Cost:
    """Stage an archive while another client reads a file."""
    with watched(ours, seen, file):
        return of_call(lambda: ours.stage(url, ARTIFACT), ours.pids)


@contextmanager
def watched(ours: Service, seen: Meanwhile, file: str) -> Iterator[None]:
    """Sample the transactions, and run another client, during the block."""
    done = threading.Event()

    def call() -> None:
        with closing(connected(ours.url)) as client:
            while not done.wait(0.02):
                started = time.perf_counter()
                assert get(client, file)
                seen.seconds.append(time.perf_counter() - started)

    def look() -> None:
        with closing(psycopg2.connect(_libpq(ours.database_url))) as conn, conn.cursor() as cursor:
            conn.autocommit = True
            while not done.wait(0.005):
                cursor.execute(
                    "SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)), 0)"
                    " FROM pg_stat_activity WHERE backend_type = 'client backend'"
                    " AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()"
                )
                seen.longest = max(seen.longest, float(_one(cursor)))

    with ThreadPoolExecutor(2) as threads:
        them = [threads.submit(each) for each in (call, look)]
        try:
            yield
        finally:
            done.set()
            for each in them:
                each.result()


def connected(url: str) -> HTTPConnection:
    """Return a connection to a service."""
    parts = urlsplit(url)
    return HTTPConnection(parts.hostname or "", parts.port)


def get(client: HTTPConnection, path: str) -> bytes:
    """Return the body of a 200 response."""
    client.request("GET", quote(path))
    answer = client.getresponse()
    body = answer.read()
    assert answer.status == 200, (answer.status, body)
    return body


def written(ours: Service) -> int:
    """Return the bytes of the database's log so far."""
    with closing(psycopg2.connect(_libpq(ours.database_url))) as conn, conn.cursor() as cursor:
        cursor.execute("SELECT pg_current_wal_lsn() - '0/0'")
        return int(_one(cursor))


def most_memory(pids: Sequence[int]) -> int:
    """Return the maximum memory of a Python process of the service, in bytes."""
    found = [0]
    for pid in pids:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            continue  # the process has ended
        if status.startswith("Name:\tpython") or "staging" in status.split("\n", 1)[0]:
            line = next(line for line in status.splitlines() if line.startswith("VmHWM"))
            found.append(int(line.split()[1]) << 10)
    return max(found)


def evicted(ours: Service, url: str) -> tuple[float, float]:
    """Evict the artifact; return the seconds until it is not served, and until its rows go."""
    with StagingClient(ours.url) as client:
        (artifact,) = client.stage(url, [ARTIFACT]).artifacts
    with closing(connected(ours.url)) as http:
        started = time.perf_counter()
        http.request("DELETE", f"/api/v1.0/artifacts/{artifact.id}")
        answer = http.getresponse()
        assert answer.status in (200, 204), answer.read()
    seconds = time.perf_counter() - started
    with closing(psycopg2.connect(_libpq(ours.database_url))) as conn, conn.cursor() as cursor:
        conn.autocommit = True
        while True:
            cursor.execute("SELECT count(*) FROM packs WHERE sha256 IS NULL")
            if not _one(cursor):
                return seconds, time.perf_counter() - started
            time.sleep(0.1)


def _one(cursor: Any) -> Any:
    (value,) = cursor.fetchone()
    return value


def _libpq(url: str) -> str:
    return url.replace("+psycopg2", "")


def staged_archive(builds: Path, name: str, make: Callable[[Path], None]) -> str:
    """Make an archive with one object; return its URL."""
    folder = builds / name
    folder.mkdir()
    make(folder / WORD)
    return f"file://{folder}"


def main() -> None:
    """Measure, and print a table."""
    options = argparse.ArgumentParser()
    options.add_argument("--files", type=int, default=50_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--no-peer", action="store_true", help="time only ours")
    given = options.parse_args()
    row = Comparison(f"{given.files} files against tar, sha256sum, sync", "<= 0.4")
    seen, wal, urls = Meanwhile(), list[float](), list[str]()
    with tempfile.TemporaryDirectory(prefix="small-files-") as scratch:
        builds = Path(scratch, "builds")
        builds.mkdir()
        for number in range(given.rounds):
            make = partial(make_tar, count=given.files, seed=number)
            urls.append(staged_archive(builds, f"R{number}", make))
        warm = staged_archive(builds, "warm", partial(make_tar, count=100, seed=10**6))
        with service(f"file://{builds}", Path(scratch), warmed=False) as ours:
            with StagingClient(ours.url) as client:
                path = client.stage(warm, [ARTIFACT]).artifacts[0].path
            file = f"/static/{path}tests/group0000/control.0000"
            for url in urls:
                if not given.no_peer:
                    tar = f"{url.removeprefix('file://')}/{WORD}"
                    row.peer.append(peer(PEER.format(tar=tar), Path(scratch)))
                before = written(ours)
                row.ours.append(one_round(ours, url, seen, file))
                wal.append((written(ours) - before) / given.files)
            memory = most_memory(ours.pids())
            gone, rows_gone = evicted(ours, urls[-1])
    report(given, row, seen, wal)
    print(f"most memory of a process: {memory / 1e6:.0f} MB (goal 400)")
    print(f"evicted in {gone:.2f} s (goal 2); its rows were gone after {rows_gone:.1f} s")


def report(
    given: argparse.Namespace, row: Comparison, seen: Meanwhile, wal: Sequence[float]
) -> None:
    """Print the results."""
    print(f"{bench.machine()}, load {os.getloadavg()[0]:.1f}\n")
    if given.no_peer:
        times = ", ".join(f"{cost.wall:.2f} s ({cost.cpu:.2f} s CPU)" for cost in row.ours)
        print(f"{given.files} files: {times}")
    else:
        print(f"{bench.HEADER}\n{row.line()}")
    each = median(cost.wall for cost in row.ours) / given.files
    print(f"\na file: {each * 1e6:.1f} us, {median(wal):.0f} B of WAL (goal 400)")
    waits = sorted(seen.seconds)
    print(
        f"other clients meanwhile, {len(waits)} calls: median {median(waits) * 1e3:.1f} ms,"
        f" 99 of 100 within {waits[int(len(waits) * 0.99)] * 1e3:.0f} ms, {waits[-1] * 1e3:.0f} ms"
        f" at most; longest transaction seen {seen.longest * 1e3:.0f} ms (goal 100)"
    )


if __name__ == "__main__":
    main()
