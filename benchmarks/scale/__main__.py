"""Measure service times here, compare the model with real pods, and simulate many pods.

    python -m benchmarks.scale [--pods 2 4] [--seconds 10] [--cores 4] [--statements 100000]

A run does all three on one embedded PostgreSQL, which writes to disk. docs/explanation/scale.md
explains the figures.
"""

import argparse
import math
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import partial
from pathlib import Path

from benchmarks.bench import machine
from benchmarks.scale import measure
from benchmarks.scale.model import Cost, Machine, Seen, load, simulated
from benchmarks.scale.pods import (
    LEAST_SECONDS,
    POLLS_PER_SECOND,
    POSTS_PER_SECOND,
    Taken,
    cost_of_requests,
    pods,
    staged,
    taken,
)
from benchmarks.scale.profiles import (
    FLUSHED,
    HERE,
    NOTIFIED,
    PROFILES,
    REQUESTS,
    TIMERS,
    Profile,
    demands,
)
from staging_api.client import Staging, StagingClient
from staging_api.db.embedded import running
from staging_api.db.engine import open_database
from staging_api.db.migrate import migrate
from staging_api.embedded_postgres.server import EmbeddedServer

_LISTENERS = 20
_TIMES = 300
_STAGINGS = 20


def main() -> None:
    """Run the benchmark, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pods", type=int, nargs="*", default=[2, 4])
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--times", type=int, default=_TIMES)
    parser.add_argument("--cores", type=int, default=4, help="of the PostgreSQL that is simulated")
    parser.add_argument("--statements", type=int, default=100_000, help="of each simulation")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory(prefix="scale-bench-") as name:
        folder = Path(name)
        with running(folder / "home") as server:
            migrate(server.url)
            costs, flush = measured(server, folder, options.times, options.seconds)
            for count in options.pods:
                compare(count, server, folder, costs, options.seconds)
    for profile in PROFILES:
        print_simulations(profile, costs, Machine(options.cores, flush), options.statements)


def measured(
    server: EmbeddedServer, folder: Path, times: int, seconds: float
) -> tuple[Mapping[str, Cost], float]:
    """Print the cost of each statement; return the costs by name, and the seconds of a flush."""
    make_builds(folder / "builds")
    costs, staging = measured_requests(server, folder, times, seconds)
    print("| statement | PostgreSQL's CPU, us | seen by the caller, us |\n|---|---|---|")
    with closing(open_database(server.url, 4)) as database:
        calls = measure.statements(database, staging.id, staging.archive_url)
        for name, call in calls.items():
            cost, wall = measure.cost_of(call, server.postmaster_pid, times)
            costs[name] = Cost(cost.cpu, flushes=name in FLUSHED)
            print(f"| {name} | {cost.cpu * 1e6:.0f} | {wall * 1e6:.0f} |")
        flush = measure.flush_seconds(database, times)
    costs[NOTIFIED] = measure.per_listener(server.url, server.postmaster_pid, _LISTENERS, times)
    for name in (*REQUESTS, *TIMERS, NOTIFIED):
        print(f"| {name} | {costs[name].cpu * 1e6:.0f} | |")
    size = measure.backend_bytes(server.url, 5)
    print(f"\na flush {flush * 1e3:.2f} ms; a session {size / 1e6:.1f} MB\n")
    return costs, flush


def make_builds(builds: Path) -> None:
    """Write builds of three small files."""
    for number in range(_STAGINGS + 1):
        made = builds / "board" / f"R{number}"
        made.mkdir(parents=True)
        for file in "abc":
            (made / file).write_text(f"{file} of {number}")


def measured_requests(
    server: EmbeddedServer, folder: Path, times: int, seconds: float
) -> tuple[dict[str, Cost], Staging]:
    """Measure whole requests, and one second of an idle process, on one pod."""
    builds = folder / "builds"
    with pods(1, server, folder, builds, worker=False) as urls:
        alone = taken(urls, server, None, seconds)
    with pods(1, server, folder, builds) as urls, StagingClient(urls[0]) as client:
        both = taken(urls, server, None, seconds)
        stagings = iter(range(_STAGINGS + 1))

        def stage() -> Staging:
            return client.stage(f"file://{builds}/board/R{next(stagings)}")

        staging = stage()
        cost = partial(cost_of_requests, server=server, idle=both.cpu)
        # The first three warm up.
        whole = cost(stage, times=_STAGINGS - 3)
        found = {
            "poll": cost(lambda: client.staging(staging.id), times=times),
            "post of what is staged": cost(lambda: client.stage(staging.archive_url), times=times),
            "staging of three files": Cost(whole.cpu, flushes=True),
            "a second of an API process": Cost(alone.cpu),
            "a second of a worker": Cost(max(LEAST_SECONDS, both.cpu - alone.cpu)),
        }
    print(
        f"statements a second of an idle pod: {alone.commits:.1f}, with a worker"
        f" {both.commits:.1f}; sessions {alone.connections}, {both.connections}"
    )
    return found, staging


def compare(
    count: int, server: EmbeddedServer, folder: Path, costs: Mapping[str, Cost], seconds: float
) -> None:
    """Run pods here, and print their load beside that of the model."""
    with pods(count, server, folder, folder / "builds") as urls:
        staging = staged(urls[0], f"file://{folder / 'builds'}/board/R0")
        for found in (
            taken(urls, server, None, seconds),
            taken(urls, server, staging, seconds),
        ):
            print(_compared(found, costs), flush=True)


def _compared(found: Taken, costs: Mapping[str, Cost]) -> str:
    share = found.asked / (found.pods * (POLLS_PER_SECOND + POSTS_PER_SECOND))
    expected = load(demands(HERE, found.pods, costs, asked=share))
    return (
        f"{found.pods} pods, {found.asked:.0f} requests/s: PostgreSQL {found.cpu * 1e3:.1f} ms/s,"
        f" {found.commits:.0f} commits/s, {found.connections} sessions; the model says"
        f" {expected * 1e3:.1f} ms/s (ratio {found.cpu / expected:.2f})"
    )


def print_simulations(
    profile: Profile, costs: Mapping[str, Cost], on: Machine, statements: int
) -> None:
    """Print results of 10, 100 and 1,000 pods of a profile, and the number at saturation."""
    print(f"\n{profile.name}: {profile.meaning}; {on.cores} cores for PostgreSQL")
    print("| pods | busy | sessions | lock pair p50, p99, ms | poll p50, p99, ms |")
    print("|---|---|---|---|---|")
    for count in (10, 100, 1000):
        for line in _simulated(profile, count, costs, on, statements):
            print(line, flush=True)
    at = bend(profile, costs, on.cores)
    asked = demands(profile, at, costs)
    most = sorted(asked, key=lambda one: -one.per_second * one.cost.cpu)[:3]
    shares = (f"{one.name} {one.per_second * one.cost.cpu / load(asked):.0%}" for one in most)
    print(f"all cores are busy at {at} pods: {', '.join(shares)}")


def bend(profile: Profile, costs: Mapping[str, Cost], cores: int) -> int:
    """Return the least number of pods that keeps all cores busy."""
    few, many = 1, 1
    while load(demands(profile, many, costs)) < cores:
        few, many = many, 2 * many
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (
            (middle, many) if load(demands(profile, middle, costs)) < cores else (few, middle)
        )
    return many


def _simulated(
    profile: Profile, count: int, costs: Mapping[str, Cost], on: Machine, statements: int
) -> Iterator[str]:
    asked = demands(profile, count, costs)
    sessions = f"{profile.sessions(count):.0f}"
    busy = load(asked) / on.cores
    if busy >= 1:
        yield f"| {count} | {busy:.0%}: never done | {sessions} | | |"
        return
    seconds = statements / sum(demand.per_second for demand in asked)
    for places in (math.inf, 4.0 * on.cores):
        seen = simulated(asked, Machine(on.cores, on.flush_seconds, places), seconds)
        pair, poll = (_quantiles(seen, name) for name in ("lock pair", "poll"))
        kept = sessions if places == math.inf else f"{places:.0f} by a pooler"
        yield f"| {count} | {seen.busy:.0%} | {kept} | {pair} | {poll} |"


def _quantiles(seen: Seen, name: str) -> str:
    if name not in seen.seconds:
        return "none came"
    return _ms(seen.at(0.5, name), seen.at(0.99, name))


def _ms(*seconds: float) -> str:
    return ", ".join(f"{each * 1e3:.2f}" for each in seconds)


if __name__ == "__main__":
    main()
