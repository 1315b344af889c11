"""Serving during a scrub by a worker, against serving without one.

    python -m benchmarks.scrub [--turns 7] [--files 2000] [--seconds 5]

In each turn the worker is stopped (SIGSTOP) and continued, so that both are measured in the same
minutes of the same machine; before each turn, every content is due for a scrub. The benchmark
compares the 99th percentile of a GET of files of 64 kB, over four connections.
"""

import argparse
import http.client
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from statistics import median, quantiles

import psycopg2

from benchmarks import bench
from staging_api.client import StagingClient
from staging_api.db.embedded import running

_FILE_BYTES = 64 << 10
_CONNECTIONS = 4
_NAMES_OF_A_REQUEST = 100


@contextmanager
def process(verb: str, settings: Mapping[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a process of the service."""
    command = [sys.executable, "-m", "staging_api", verb]
    env = {"PATH": "/usr/bin:/bin", **settings}
    with subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL) as found:
        try:
            yield found
        finally:
            found.send_signal(signal.SIGCONT)
            found.terminate()


def make_due(database_url: str) -> None:
    """Set the last scrub of every content to a week ago."""
    with closing(psycopg2.connect(database_url.replace("+psycopg2", ""))) as conn, conn:
        conn.cursor().execute(
            "UPDATE blobs SET checked_at = clock_timestamp() - interval '7 days';"
            " UPDATE store_checks SET scrubbed_at = NULL"
        )


def bytes_read_again(database_url: str) -> int:
    """Return the bytes scrubbed since `make_due`."""
    with closing(psycopg2.connect(database_url.replace("+psycopg2", ""))) as conn:
        cursor = conn.cursor()
        cursor.execute(
            "SELECT coalesce(sum(size_bytes), 0) FROM blobs"
            " WHERE checked_at > clock_timestamp() - interval '1 day'"
        )
        return int(cursor.fetchall()[0][0])


def p99(port: int, names: Sequence[str], seconds: float) -> float:
    """Return the 99th percentile of a GET in milliseconds; an error response ends the run."""
    until = time.monotonic() + seconds

    def ask(first: int) -> list[float]:
        taken: list[float] = []
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
            for name in itertools.islice(itertools.cycle(names), first, None):
                began = time.perf_counter()
                connection.request("GET", f"/static/board/R1/{name}")
                answer = connection.getresponse()
                if answer.status != http.HTTPStatus.OK or len(answer.read()) != _FILE_BYTES:
                    raise SystemExit(f"{name}: {answer.status}")
                taken.append(time.perf_counter() - began)
                if time.monotonic() > until:
                    return taken
        return taken

    with ThreadPoolExecutor(_CONNECTIONS) as threads:
        firsts = range(0, len(names), len(names) // _CONNECTIONS)
        taken = [each for one in threads.map(ask, firsts) for each in one]
    return quantiles(taken, n=100)[98] * 1000


def measure(
    ask: Callable[[], float], worker: "subprocess.Popen[bytes]", database_url: str, turns: int
) -> None:
    """Print a row for each turn, and the medians."""
    both: list[tuple[float, float]] = []
    print("| turn | p99 without, ms | p99 with, ms | read again, MB |\n|---|---|---|---|")
    for turn in range(1, turns + 1):
        worker.send_signal(signal.SIGSTOP)
        without = ask()
        make_due(database_url)
        worker.send_signal(signal.SIGCONT)
        during = ask()
        both.append((without, during))
        read = bytes_read_again(database_url) / 1e6
        print(f"| {turn} | {without:.2f} | {during:.2f} | {read:.0f} |")
    first, second = (median(column) for column in zip(*both, strict=True))
    print(f"| median | {first:.2f} | {second:.2f} | ratio {second / first:.3f} (goal < 1.05) |")


def main() -> None:
    """Stage the files, and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="scrub-bench-") as name:
        folder = Path(name)
        build = folder / "builds" / "board" / "R1"
        build.mkdir(parents=True)
        names = [f"f{number}" for number in range(options.files)]
        for each in names:
            (build / each).write_bytes(os.urandom(_FILE_BYTES))
        with running(folder / "postgres") as server:
            port = bench.free_port()
            settings = {
                "STAGING_BIND": f"127.0.0.1:{port}",
                "STAGING_HOME": str(folder),
                "STAGING_DATABASE_URL": server.url,
                "STAGING_SOURCES": f"file://{folder}/builds/",
                "STAGING_WORKERS": "1",
            }
            subprocess.run(
                [sys.executable, "-m", "staging_api", "migrate"],
                env={"PATH": "/usr/bin:/bin", **settings},
                check=True,
            )
            url = f"http://127.0.0.1:{port}"
            worker_settings = {k: v for k, v in settings.items() if k != "STAGING_BIND"}
            with process("api", settings) as api, process("worker", worker_settings) as worker:
                bench.wait_for(f"{url}/readyz", api)
                with StagingClient(url) as client:
                    for first in range(0, len(names), _NAMES_OF_A_REQUEST):
                        some = names[first : first + _NAMES_OF_A_REQUEST]
                        client.stage(f"file://{build}", [f"file:{each}" for each in some])
                print(f"{options.files} files of 64 kB, {bench.machine()}, load {os.getloadavg()}")
                ask = partial(p99, port, names, options.seconds)
                measure(ask, worker, server.url, options.turns)


if __name__ == "__main__":
    main()
