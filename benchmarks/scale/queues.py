"""A discrete-event simulation of queues: stations with servers, and a disk that flushes in groups.

Small enough to read, so no library: events in a heap, one clock. Its answers are compared with
those that queueing theory knows (`tests/unit/test_scale.py`).
"""

import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

Then = Callable[[], None]


class Simulation:
    """A clock, in seconds, and what happens when."""

    def __init__(self) -> None:
        """Begin at zero, with nothing to happen."""
        self.now = 0.0
        self._events: list[tuple[float, int, Then]] = []
        self._numbers = itertools.count()

    def after(self, seconds: float, then: Then) -> None:
        """Let something happen so many seconds from now."""
        heapq.heappush(self._events, (self.now + seconds, next(self._numbers), then))

    def run(self, until: float) -> None:
        """Let everything happen that happens before a time."""
        while self._events and self._events[0][0] < until:
            self.now, _, then = heapq.heappop(self._events)
            then()
        self.now = until


@dataclass
class Station:
    """Servers that take jobs in the order in which they came, one each at a time."""

    simulation: Simulation
    servers: int
    busy: int = 0
    busy_seconds: float = 0.0
    _waiting: deque[tuple[float, Then]] = field(default_factory=deque)

    def serve(self, seconds: float, then: Then) -> None:
        """Serve a job for so many seconds once a server is free, then go on."""
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
    """Places that jobs hold while they are elsewhere: the connections of a pooler."""

    simulation: Simulation
    places: float = math.inf
    held: int = 0
    _waiting: deque[Then] = field(default_factory=deque)

    def enter(self, then: Then) -> None:
        """Go on with a place, once there is one."""
        if self.held < self.places:
            self.held += 1
            then()
        else:
            self._waiting.append(then)

    def leave(self) -> None:
        """Give a place back."""
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
        """Go on once a flush that began from now on has ended."""
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
