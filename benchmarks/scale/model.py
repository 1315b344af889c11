"""Pods on one PostgreSQL: what they ask for, how often, and how long it then takes.

PostgreSQL is a number of processors, which serve statements in the order in which they came, and a
disk that flushes commits in groups. What pods do beside it (HTTP, downloads) costs no time here:
the question is where the database bends. Each kind of statement comes at its own rate, at random
moments: the sum of many timers at random phases is nearly that.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks.scale.queues import Disk, Places, Simulation, Station


@dataclass(frozen=True)
class Cost:
    """What one statement, or transaction, takes of PostgreSQL.

    Attributes:
        cpu: seconds of all its processes.
        flushes: whether it waits for the disk.
    """

    cpu: float
    flushes: bool = False


@dataclass(frozen=True)
class Demand:
    """A kind of statement, and how many come a second from all pods together."""

    name: str
    cost: Cost
    per_second: float


@dataclass(frozen=True)
class Machine:
    """What PostgreSQL runs on.

    Attributes:
        cores: for PostgreSQL alone.
        flush_seconds: of one flush of the log.
        places: connections of a pooler, if there is one.
    """

    cores: int
    flush_seconds: float
    places: float = math.inf


@dataclass
class Seen:
    """What a simulation showed.

    Attributes:
        busy: share of the processors' time.
        seconds: of each statement, by kind.
        longest_queue: most statements that were under way at once.
    """

    busy: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    longest_queue: int = 0

    def at(self, share: float, name: str) -> float:
        """Seconds within which so large a share of the statements of a kind were answered."""
        found = sorted(self.seconds[name])
        return found[min(len(found) - 1, int(share * len(found)))]

    def mean(self, name: str) -> float:
        """Mean seconds of a statement of a kind."""
        return sum(self.seconds[name]) / len(self.seconds[name])


def simulated(
    demands: Sequence[Demand], machine: Machine, seconds: float, seed: int = 1, warm: float = 0.1
) -> Seen:
    """Simulate so many seconds; the first share of them, `warm`, is not counted."""
    drawn = random.Random(seed)
    simulation = Simulation()
    processors = Station(simulation, machine.cores)
    disk = Disk(simulation, machine.flush_seconds)
    places = Places(simulation, machine.places)
    seen, begin = Seen(), seconds * warm
    under_way = 0

    def arrive(demand: Demand) -> None:
        nonlocal under_way
        simulation.after(drawn.expovariate(demand.per_second), partial(arrive, demand))
        came = simulation.now
        under_way += 1
        seen.longest_queue = max(seen.longest_queue, under_way)

        def done() -> None:
            nonlocal under_way
            under_way -= 1
            places.leave()
            if came >= begin:
                seen.seconds.setdefault(demand.name, []).append(simulation.now - came)

        def computed() -> None:
            if demand.cost.flushes:
                disk.flush(done)
            else:
                done()

        # Exponential: the same statement takes now less, now more, as caches and rows are.
        cpu = drawn.expovariate(1 / demand.cost.cpu)
        places.enter(lambda: processors.serve(cpu, computed))

    for demand in demands:
        if demand.per_second > 0:
            simulation.after(drawn.expovariate(demand.per_second), partial(arrive, demand))
    simulation.run(seconds)
    seen.busy = processors.busy_seconds / (seconds * machine.cores)
    return seen


def load(demands: Sequence[Demand]) -> float:
    """Processors that these demands keep busy, without any queue: their sum bends at the cores."""
    return sum(demand.per_second * demand.cost.cpu for demand in demands)


def waiting_seconds(per_second: float, mean_service: float, servers: int) -> float:
    """Mean wait of M/M/c (Erlang C): what a simulation must come to.

    Raises:
        ValueError: more comes than the servers can do.
    """
    offered = per_second * mean_service
    if offered >= servers:
        raise ValueError(f"{offered:g} erlangs are too much for {servers} servers")
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    queued = last / (sum(terms) + last)
    return queued * mean_service / (servers - offered)


Costs = Mapping[str, Cost]
