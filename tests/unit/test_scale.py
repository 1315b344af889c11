"""Simulation of many pods: its results agree with queueing theory."""

import math
import statistics
from functools import partial

import pytest

from benchmarks.scale.model import Cost, Demand, Machine, simulated, waiting_seconds
from benchmarks.scale.queues import Disk, Places, Simulation, Station


@pytest.mark.parametrize(("servers", "busy"), [(1, 0.5), (1, 0.8), (2, 0.7), (8, 0.9)])
def test_waits_are_those_of_erlang(servers: int, busy: float) -> None:
    service = 0.001
    demand = Demand("x", Cost(service), busy * servers / service)
    expected = service + waiting_seconds(demand.per_second, service, servers)
    machine = Machine(servers, 0.0)
    turns = [simulated([demand], machine, 10.0 / servers, seed).mean("x") for seed in range(4)]
    assert statistics.mean(turns) == pytest.approx(expected, rel=0.08)


def test_the_share_that_is_busy_is_what_was_asked_for() -> None:
    """Utilization law; and Little's law: work in progress is rate times time."""
    seen = simulated([Demand("x", Cost(0.002), 600.0)], Machine(2, 0.0), 40.0)
    assert seen.busy == pytest.approx(0.6, rel=0.05)


def test_erlang_is_the_known_one() -> None:
    # M/M/1: rho / (mu - lambda); in M/M/2 at one erlang a third waits.
    assert waiting_seconds(0.5, 1.0, 1) == pytest.approx(1.0)
    assert waiting_seconds(1.0, 1.0, 2) == pytest.approx(1 / 3)
    with pytest.raises(ValueError, match="too much"):
        waiting_seconds(3.0, 1.0, 2)


def test_more_than_the_servers_can_do_waits_ever_longer() -> None:
    demand = Demand("x", Cost(0.01), 150.0)
    short, long = (simulated([demand], Machine(1, 0.0), seconds) for seconds in (10.0, 40.0))
    assert long.mean("x") > 2 * short.mean("x")
    assert short.busy > 0.95


def test_servers_take_jobs_in_turn() -> None:
    simulation, ended = Simulation(), []
    station = Station(simulation, 2)

    def end(name: str) -> None:
        ended.append((name, simulation.now))

    for name, seconds in (("a", 3.0), ("b", 1.0), ("c", 1.0), ("d", 5.0)):
        station.serve(seconds, partial(end, name))
    simulation.run(100.0)
    assert ended == [("b", 1.0), ("c", 2.0), ("a", 3.0), ("d", 7.0)]
    assert station.busy == 0


def test_one_flush_is_for_all_that_waited_when_it_began() -> None:
    simulation, ended = Simulation(), []
    disk = Disk(simulation, 1.0)
    for at in (0.0, 0.2, 0.9, 1.5):
        simulation.after(at, lambda: disk.flush(lambda: ended.append(simulation.now)))
    simulation.run(100.0)
    assert ended == [1.0, 2.0, 2.0, 3.0]
    assert disk.flushes == 3


def test_a_pooler_lets_in_as_many_as_it_has_places() -> None:
    simulation = Simulation()
    entered: list[str] = []
    places = Places(simulation, 2)
    for name in "abc":
        places.enter(partial(entered.append, name))
    assert entered == ["a", "b"]
    places.leave()
    assert entered == ["a", "b", "c"]
    assert places.held == 2
    assert Places(simulation).places == math.inf


def test_a_pooler_changes_nothing_while_its_places_are_as_many_as_the_cores_need() -> None:
    demands = [Demand("x", Cost(0.001), 1000.0)]
    free, pooled = (simulated(demands, Machine(2, 0.0, places), 8.0) for places in (math.inf, 20.0))
    assert pooled.mean("x") == pytest.approx(free.mean("x"), rel=0.01)
    few = simulated([Demand("x", Cost(0.001, flushes=True), 700.0)], Machine(2, 0.002, 2), 8.0)
    assert few.mean("x") > 1.5 * simulated(
        [Demand("x", Cost(0.001, flushes=True), 700.0)], Machine(2, 0.002), 8.0
    ).mean("x")
