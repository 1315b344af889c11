"""Model of pods on one PostgreSQL: their requests, rates, and resulting response times.

PostgreSQL is modelled as a number of processors, which serve statements in order of arrival, and a
disk that flushes commits in groups. Other work of pods (HTTP, downloads) costs no time here: the
question is when the database saturates. Each kind of statement arrives at its own rate, at random
times: the sum of many timers at random phases is nearly that.
"""

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks.scale.queues import Disk, Places, Simulation, Station


@dataclass(frozen=True)
class Cost:
    """PostgreSQL's cost of a statement or transaction.

    Attributes:
        cpu: processor seconds of all its processes.
        flushes: whether it waits for the disk.
    """

    cpu: float
    flushes: bool = False


@dataclass(frozen=True)
class Demand:
    """A kind of statement, and its rate per second from all pods together."""

    name: str
    cost: Cost
    per_second: float


@dataclass(frozen=True)
class Machine:
    """The machine of PostgreSQL.

    Attributes:
        cores: processors for PostgreSQL alone.
        flush_seconds: seconds of one flush of the log.
        places: connections of a pooler, if there is one.
    """

    cores: int
    flush_seconds: float
    places: float = math.inf


@dataclass
class Seen:
    """Results of a simulation.

    Attributes:
        busy: share of the processors' time.
        seconds: response times of the statements, by kind.
        longest_queue: maximum number of concurrent statements.
    """

    busy: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=dict)
    longest_queue: int = 0

    def at(self, share: float, name: str) -> float:
        """Return the seconds within which this share of a kind's statements were answered."""
        found = sorted(self.seconds[name])
        return found[min(len(found) - 1, int(share * len(found)))]

    def mean(self, name: str) -> float:
        """Return the mean seconds of a kind's statements."""
        return sum(self.seconds[name]) / len(self.seconds[name])


def simulated(
    demands: Sequence[Demand], machine: Machine, seconds: float, seed: int = 1, warm: float = 0.1
) -> Seen:
    """Simulate `seconds`; their first share, `warm`, is not counted."""
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

        # Exponential: the time of a statement varies with caches and rows.
        cpu = drawn.expovariate(1 / demand.cost.cpu)
        places.enter(lambda: processors.serve(cpu, computed))

    for demand in demands:
        if demand.per_second > 0:
            simulation.after(drawn.expovariate(demand.per_second), partial(arrive, demand))
    simulation.run(seconds)
    seen.busy = processors.busy_seconds / (seconds * machine.cores)
    return seen


def load(demands: Sequence[Demand]) -> float:
    """Return the processors that these demands keep busy, if none has to queue."""
    return sum(demand.per_second * demand.cost.cpu for demand in demands)


def waiting_seconds(per_second: float, mean_service: float, servers: int) -> float:
    """Return the mean wait of M/M/c (Erlang C), which a simulation must reproduce.

    Raises:
        ValueError: the load exceeds the capacity of the servers.
    """
    offered = per_second * mean_service
    if offered >= servers:
        raise ValueError(f"{offered:g} erlangs are too much for {servers} servers")
    terms = [offered**k / math.factorial(k) for k in range(servers)]
    last = offered**servers / math.factorial(servers) * servers / (servers - offered)
    queued = last / (sum(terms) + last)
    return queued * mean_service / (servers - offered)


Costs = Mapping[str, Cost]
