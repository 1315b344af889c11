"""Import, start and memory of the service, beside a bare application of the same libraries.

    python -m benchmarks.start [--rounds 5]

The peer is `benchmarks.bare`: gunicorn, Falcon, SQLAlchemy and psycopg2, one route, one SELECT, in
two processes. It and `staging-api serve` (with an existing database, as at any start but the first)
take turns. Memory is the proportional set size of every process: a page shared by three processes
counts a third in each. PostgreSQL is not counted on either side.
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bench import free_port, machine, tree
from staging_api.db.embedded import running

_IMPORT = (
    "import resource, time; began = time.perf_counter();\n{}\n"
    "used = resource.getrusage(resource.RUSAGE_SELF);"
    "print(time.perf_counter() - began, used.ru_utime + used.ru_stime)"
)
_OURS = "import staging_api.wsgi"
_PEER = "import gunicorn.app.wsgiapp, benchmarks.bare"
_LIBRARIES = "import falcon, gunicorn.app.base, pydantic, sqlalchemy.dialects.postgresql, psycopg2"
_PATIENCE_SECONDS = 120


def imported(statement: str, env: Mapping[str, str]) -> tuple[float, float]:
    """Return the wall seconds of an import, and the CPU seconds of its whole process."""
    out = subprocess.check_output([sys.executable, "-c", _IMPORT.format(statement)], env={**env})
    wall, cpu = map(float, out.split())
    return wall, cpu


@contextmanager
def started(
    command: Sequence[str], url: str, env: Mapping[str, str]
) -> Iterator[tuple[float, "subprocess.Popen[bytes]"]]:
    """Run a service during the block; yield the seconds until it answered 200, and its parent."""
    began = time.perf_counter()
    process = subprocess.Popen(
        command, env={**env}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _answers(url):
            if process.poll() is not None or time.perf_counter() - began > _PATIENCE_SECONDS:
                raise SystemExit(f"{' '.join(command)} did not start")
            time.sleep(0.01)
        yield time.perf_counter() - began, process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url, timeout=5).close()
    except urllib.error.HTTPError as error:
        return error.code == 404  # the peer's only route needs a row
    except OSError:
        return False
    return True


def memory(pid: int) -> Mapping[int, int]:
    """Return the proportional set size of a process and its descendants, in bytes."""
    return {one: _pss(one) for one in tree(pid)}


def _pss(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("Pss:"))
    return int(kilobytes) << 10


def run(rounds: int) -> Iterator[tuple[str, list[float], list[float]]]:
    """Measure in turns; yield name, ours and the peer's values, in seconds or megabytes."""
    with tempfile.TemporaryDirectory(prefix="bench-start-") as folder:
        port = free_port()
        home, bind = Path(folder) / "home", f"127.0.0.1:{port}"
        clean = {k: v for k, v in os.environ.items() if not k.startswith("STAGING_")}
        # An installed program has its bytecode; here the first turn creates it.
        clean |= {"PYTHONPYCACHEPREFIX": f"{folder}/bytecode", "PYTHONDONTWRITEBYTECODE": ""}
        ours = {**clean, "STAGING_HOME": str(home), "STAGING_BIND": bind, "STAGING_WORKERS": "2"}
        serve = [sys.executable, "-m", "staging_api", "serve"]
        with started(serve, f"http://{bind}/readyz", ours):
            pass
        with running(home) as server:
            peer = {**clean, "BARE_DATABASE_URL": server.url, "STAGING_DATABASE_URL": server.url}
            yield from _imports(rounds, peer)
        yield from _starts(rounds, home, serve, ours, clean)


def _imports(rounds: int, env: Mapping[str, str]) -> Iterator[tuple[str, list[float], list[float]]]:
    kinds = (_OURS, _PEER, _LIBRARIES)
    for statement in kinds:
        imported(statement, env)
    seen = [[imported(statement, env) for statement in kinds] for _ in range(rounds)]
    for name, number in (("import, s", 0), ("import, s of CPU with the interpreter", 1)):
        ours, peer, libraries = ([turn[kind][number] for turn in seen] for kind in range(3))
        yield name, ours, peer
        yield f"{name}; peer and pydantic", ours, libraries


def _starts(
    rounds: int,
    home: Path,
    serve: Sequence[str],
    ours: Mapping[str, str],
    clean: Mapping[str, str],
) -> Iterator[tuple[str, list[float], list[float]]]:
    us, them = _Side("ours"), _Side("peer")
    for _ in range(rounds):
        # Its database stops with its last user, so this starts it, too.
        _wait_until(lambda: not _has_server(home))
        with started(serve, f"http://{ours['STAGING_BIND']}/readyz", ours) as (seconds, process):
            us.note(seconds, process)
        with running(home) as server:
            bind = f"127.0.0.1:{free_port()}"
            peer = [sys.executable, "-m", "gunicorn", "--workers", "2", "--worker-class", "gthread"]
            peer += ["--preload", "--bind", bind, "benchmarks.bare:app"]
            env = {**clean, "BARE_DATABASE_URL": server.url}
            with started(peer, f"http://{bind}/none", env) as (seconds, process):
                them.note(seconds, process)
    yield "until ready, s", us.ready, them.ready
    counts = f"{us.processes} and of {them.processes}"
    yield f"memory of {counts} processes, MB", us.megabytes, them.megabytes


def _has_server(home: Path) -> bool:
    return (home / "postgresql" / "server.json").exists()


def _wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("the embedded database did not stop")
        time.sleep(0.05)


@dataclass
class _Side:
    """Measurements of one of the two services."""

    name: str
    ready: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)
    processes: int = 0

    def note(self, seconds: float, process: "subprocess.Popen[bytes]") -> None:
        """Record the start time of the service, and measure its memory."""
        self.ready.append(seconds)
        time.sleep(1.0)  # the other processes of the service have started as well then
        found = memory(process.pid)
        self.megabytes.append(sum(found.values()) / 1e6)
        self.processes = len(found)
        sizes = " ".join(f"{size / 1e6:.0f}" for size in found.values())
        print(f"  {self.name}: {sizes} MB", file=sys.stderr)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(machine(), "load", os.getloadavg()[0])
    print("| what | ours: median (min-max) | peer | ratio: median (min-max) |\n|---|---|---|---|")
    for name, ours, peer in run(given.rounds):
        ratios = [a / b for a, b in zip(ours, peer, strict=True)]
        print(f"| {name} | {_spread(ours)} | {_spread(peer)} | {_spread(ratios)} |", flush=True)


def _spread(values: Sequence[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


if __name__ == "__main__":
    main()
