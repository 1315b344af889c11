"""A discrete-event simulation of queues: stations with servers, and a disk that flushes in groups.

It uses no library, because it is small enough to read: events in a heap, one clock. Its results are
compared with those of queueing theory (`tests/unit/test_scale.py`).
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Then = Callable[[], None]


class Simulation:
    """A clock, in seconds, and scheduled events."""

    def __init__(self) -> None:
        """Begin at zero, without events."""
        self.now = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, then: Then) -> None:
        """Schedule a call `seconds` from now."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), then))

    def run(self, until: float) -> None:
        """Run all events before the time `until`."""
        while self._events and self._events[0][0] < until:
            self.now, _, then = heapq.heappop(self._events)
            then()
        self.now = until


@dataclass
class Station:
    """Servers that take jobs in order of arrival, each server one at a time."""

    simulation: Simulation
    servers: int
    busy: int = 0
    busy_seconds: float = 0.0
    _waiting: deque[tuple[float, Then]] = field(default_factory=deque)

    def serve(self, seconds: float, then: Then) -> None:
        """Serve a job for `seconds` once a server is free, then call `then`."""
        if self.busy < self.servers:
            self._begin(seconds, then)
        else:
            self._waiting.append((seconds, then))

    def _begin(self, seconds: float, then: Then) -> None:
        self.busy += 1
        self.busy_seconds += seconds

        def end() -> None:
            self.busy -= 1
            if self._waiting:
                self._begin(*self._waiting.popleft())
            then()

        self.simulation.after(seconds, end)


@dataclass
class Places:
    """Places that jobs hold while they are at other stations: the connections of a pooler."""

    simulation: Simulation
    places: float = math.inf
    held: int = 0
    _waiting: deque[Then] = field(default_factory=deque)

    def enter(self, then: Then) -> None:
        """Call `then` with a place, once one is free."""
        if self.held < self.places:
            self.held += 1
            then()
        else:
            self._waiting.append(then)

    def leave(self) -> None:
        """Release a place."""
        if self._waiting:
            self._waiting.popleft()()
        else:
            self.held -= 1


@dataclass
class Disk:
    """Flushes the log: one flush at a time makes all commits durable that waited when it began."""

    simulation: Simulation
    seconds: float
    flushes: int = 0
    _flushing: bool = False
    _waiting: list[Then] = field(default_factory=list)

    def flush(self, then: Then) -> None:
        """Call `then` once a flush that begins now or later has ended."""
        self._waiting.append(then)
        if not self._flushing:
            self._begin()

    def _begin(self) -> None:
        group, self._waiting = self._waiting, []
        self._flushing = True
        self.flushes += 1

        def end() -> None:
            self._flushing = False
            if self._waiting:
                self._begin()
            for then in group:
                then()

        self.simulation.after(self.seconds, end)
