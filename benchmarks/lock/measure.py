"""Timing in turns, so that the noise of the machine affects every contestant alike."""

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

_CALLS_IN_A_ROW = 10


@dataclass(frozen=True)
class Figure:
    """One value per round; shown as the median, with the lowest and the highest round."""

    rounds: tuple[float, ...]

    @property
    def median(self) -> float:
        """Return the median of the rounds."""
        return statistics.median(self.rounds)

    def beside(self, other: "Figure") -> "Figure":
        """Return the ratio to another figure, round by round: disturbances affect both."""
        pairs = zip(self.rounds, other.rounds, strict=True)
        return Figure(tuple(ours / theirs for ours, theirs in pairs))

    def __str__(self) -> str:
        return f"{self.median:.3g} ({min(self.rounds):.3g} to {max(self.rounds):.3g})"


def p50_ms(calls: Mapping[str, Call], rounds: int, seconds: float) -> dict[str, Figure]:
    """Return the median time of a call per contestant, in milliseconds; they take turns."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    _in_turns(calls, 0.2)
    for _ in range(rounds):
        for name, times in _in_turns(calls, seconds * len(calls)).items():
            found[name].append(statistics.median(times) * 1000)
    return {name: Figure(tuple(values)) for name, values in found.items()}


def _in_turns(calls: Mapping[str, Call], seconds: float) -> dict[str, list[float]]:
    """Run ten calls each per turn, so that plans and code stay in the processor's cache."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, call in calls.items():
            for _ in range(_CALLS_IN_A_ROW):
                began = time.perf_counter()
                call()
                times[name].append(time.perf_counter() - began)
    return times


def pgbench(
    url: str, scripts: Mapping[str, str], clients: int, rounds: int, seconds: float
) -> dict[str, Figure]:
    """Return the cycles per second per script, with `clients` concurrent clients."""
    found: dict[str, list[float]] = {name: [] for name in scripts}
    for _ in range(rounds):
        for name, script in scripts.items():
            found[name].append(pgbench_once(url, script, clients, "-T", str(int(seconds) or 1)))
    return {name: Figure(tuple(values)) for name, values in found.items()}


def pgbench_once(url: str, script: str, clients: int, *limit: str) -> float:
    """Return the cycles per second of one run."""
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
    """Return a scratch folder for a server of the run."""
    return tempfile.TemporaryDirectory(prefix="staging-bench-", dir=Path(tempfile.gettempdir()))
