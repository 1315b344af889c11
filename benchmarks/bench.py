"""Shared parts of the benchmarks: programs in turns, their wall and CPU time, table of ratios."""

import os
import platform
import resource
import socket
import statistics
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Cost:
    """Wall seconds and CPU seconds (user and system)."""

    wall: float
    cpu: float


@dataclass
class Comparison:
    """A row: ours against a peer, in turns, one per round."""

    name: str
    goal: str
    ours: list[Cost] = field(default_factory=list)
    peer: list[Cost] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def line(self) -> str:
        """Return the row of the table: medians, and the ratio round by round."""
        ratios = [a.wall / b.wall for a, b in zip(self.ours, self.peer, strict=True)]
        cpu = [a.cpu / max(b.cpu, 1e-9) for a, b in zip(self.ours, self.peer, strict=True)]
        return (
            f"| {self.name} | {self.goal} | {_median(self.ours):.3f} | {_median(self.peer):.3f}"
            f" | {statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
            f" | {statistics.median(cpu):.2f} | {'; '.join(self.notes)} |"
        )


HEADER = (
    "| what | goal (wall) | ours s | peer s | wall ratio: median (min-max) | CPU ratio | notes |\n"
    "|---|---|---|---|---|---|---|"
)


def _median(costs: Sequence[Cost]) -> float:
    return statistics.median(cost.wall for cost in costs)


def machine() -> str:
    """Return a description of this machine."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}"


def of_shell(script: str, folder: Path) -> Cost:
    """Run a peer's commands in an empty folder, after all pending disk writes."""
    os.sync()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    started = time.perf_counter()
    subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return Cost(wall, cpu)


def of_call(call: Callable[[], object], pids: Callable[[], Sequence[int]]) -> Cost:
    """Run a call that makes other processes work; counts the CPU of the processes `pids`.

    Earlier writes are flushed to disk first, so that neither side pays for the other's.
    """
    os.sync()
    before, started = cpu_seconds(pids()), time.perf_counter()
    call()
    wall = time.perf_counter() - started
    return Cost(wall, cpu_seconds(pids()) - before)


def cpu_seconds(pids: Sequence[int]) -> float:
    """Return user and system time of these processes, and of their reaped children."""
    ticks = 0
    for pid in pids:
        with suppress(FileNotFoundError, ProcessLookupError):
            text = Path(f"/proc/{pid}/stat").read_text()
            ticks += sum(int(part) for part in text.rpartition(")")[2].split()[11:15])
    return ticks / _TICKS


def tree(pid: int) -> list[int]:
    """Return a process and all its descendants."""
    found = [pid]
    for parent in found:
        with suppress(FileNotFoundError, ProcessLookupError):
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
            found += [int(child) for child in children]
    return found


def free_port() -> int:
    """Return a loopback port on which no process listens now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def nginx(root: Path, folder: Path, extra: str = "") -> Iterator[str]:
    """Run an nginx that serves `root` on loopback; yield its URL."""
    port = free_port()
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
        events {{ worker_connections 4096; }}
        http {{ access_log {folder}/access.log; sendfile on; client_body_temp_path {folder}/b;
        proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u;
        scgi_temp_path {folder}/s;
        server {{ listen 127.0.0.1:{port}; root {root}; {extra} }} }}"""
    )
    process = subprocess.Popen(["nginx", "-c", str(config), "-e", f"{folder}/error.log"])
    try:
        wait_for(f"http://127.0.0.1:{port}/", process)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def wait_for(url: str, process: "subprocess.Popen[bytes]", seconds: float = 120) -> None:
    """Wait until a server answers at `url`, or its process ends."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise SystemExit(f"nothing answers at {url}")
