"""Timing in turns, so that the noise of the machine hits every contestant alike."""

import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import make_url

from staging_api.db.embedded import find_binaries

Call = Callable[[], object]


@dataclass(frozen=True)
class Figure:
    """The median over the rounds, and the lowest and highest round."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, rounds: list[float]) -> "Figure":
        """From one value a round."""
        return cls(statistics.median(rounds), min(rounds), max(rounds))

    def __str__(self) -> str:
        return f"{self.median:.4g} ({self.low:.4g} to {self.high:.4g})"


def p50_ms(calls: Mapping[str, Call], rounds: int, seconds: float) -> dict[str, Figure]:
    """Per contestant the median time of a call, in milliseconds; they take turns call by call."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, times in _in_turns(calls, seconds * len(calls)).items():
            found[name].append(statistics.median(times) * 1000)
    return {name: Figure.of(values) for name, values in found.items()}


def _in_turns(calls: Mapping[str, Call], seconds: float) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            times[name].append(time.perf_counter() - began)
    return times


def pgbench(
    url: str, scripts: Mapping[str, str], clients: int, rounds: int, seconds: float
) -> dict[str, Figure]:
    """Per script the cycles a second of so many clients at once."""
    found: dict[str, list[float]] = {name: [] for name in scripts}
    for _ in range(rounds):
        for name, script in scripts.items():
            found[name].append(pgbench_once(url, script, clients, "-T", str(int(seconds) or 1)))
    return {name: Figure.of(values) for name, values in found.items()}


def pgbench_once(url: str, script: str, clients: int, *limit: str) -> float:
    """Cycles a second of one run."""
    query = make_url(url).query
    with tempfile.NamedTemporaryFile("w", suffix=".sql") as file:
        # A script's statement is one line; \gset ends one.
        file.write(_one_line_each(script))
        file.flush()
        options = ["-n", "-M", "prepared", "-c", str(clients), "-j", "2", *limit, "-f", file.name]
        told = subprocess.run(
            [find_binaries() / "pgbench", *options, "-h", str(query["host"]), "-U", "staging"],
            env={"PGDATABASE": "staging"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    return float(told.split("tps = ")[1].split()[0])


def _one_line_each(script: str) -> str:
    words = " ".join(script.split())
    return words.replace("\\gset ", "\\gset\n").replace("; ", ";\n") + "\n"


def folder() -> "tempfile.TemporaryDirectory[str]":
    """Scratch space for a server of the run."""
    return tempfile.TemporaryDirectory(prefix="staging-bench-", dir=Path(tempfile.gettempdir()))
